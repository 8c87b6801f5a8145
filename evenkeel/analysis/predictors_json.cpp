#include "evenkeel/analysis/predictors_json.h"

#include "evenkeel/analysis/json.h"
#include "evenkeel/analysis/points.h"

namespace evenkeel::analysis {
namespace {

Json horizon_json(const Horizon& at) {
  Json json{{"share", nullptr}, {"step", nullptr}};
  if (at.share > 0) json["share"] = at.share;
  else json["step"] = at.step;
  return json;
}

Json at_json(const SignalAt& at, const Horizon& horizon) {
  Json json = horizon_json(horizon);
  json["auc"] = estimate_json(at.auc);
  json["minus_lr"] = estimate_json(at.minus_lr);
  json["ahead"] = estimate_json(at.ahead);
  json["same_lr"] = estimate_json(at.same_lr);
  json["same_arm"] = estimate_json(at.same_arm);
  return json;
}

Json lead_json(const Lead& lead) {
  Json json{{"alarmed", estimate_json(lead.alarmed)},
            {"steps", estimate_json(lead.steps)},
            {"share", estimate_json(lead.share)},
            {"false_alarms", estimate_json(lead.false_alarms)},
            {"threshold", nullptr},
            {"late", lead.threshold ? Json(lead.late) : Json(nullptr)},
            {"no_threshold", lead.threshold ? Json(lead.no_threshold) : Json(nullptr)}};
  if (lead.threshold) json["threshold"] = {lead.threshold->low, lead.threshold->high};
  else json["why"] = "threshold, late, no_threshold: " + lead.alarmed.why;
  return json;
}

Json optional_json(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

Json predictors_json(const Predictors& result, const PredictorRuns& runs) {
  Json json{{"runs", result.runs}, {"failed", result.failed}, {"groups", result.groups}};
  json["judged"] = result.options.forced ? "forced" : "natural";
  json["not_judged"] = result.not_judged;
  json["left_out"] = Json::array();
  for (const auto& [why, n] : runs.left_out) json["left_out"].push_back({{"why", why}, {"runs", n}});
  json["no_onset"] = Json::array();
  for (const auto& [why, n] : result.no_onset) json["no_onset"].push_back({{"why", why}, {"runs", n}});
  json["at"] = Json::array();
  for (std::size_t i = 0; i < result.at.size(); ++i) {
    json["at"].push_back(horizon_json(result.options.at[i]));
    json["at"].back()["nonfinite_runs"] = result.at[i].nonfinite;
    json["at"].back()["begun"] = result.at[i].begun;
  }
  json["signals"] = Json::array();
  for (const SignalResult& row : result.signals) {
    Json at = Json::array();
    for (std::size_t i = 0; i < row.at.size(); ++i) at.push_back(at_json(row.at[i], result.options.at[i]));
    json["signals"].push_back({{"name", row.signal->name},
                               {"unit", row.signal->unit},
                               {"danger", row.signal->low_is_danger ? "low" : "high"},
                               {"reference", row.signal->reference},
                               {"doc", row.signal->doc},
                               {"at", at},
                               {"lead", lead_json(row.lead)}});
  }
  json["entropy_bound"] = {{"runs", result.bound.runs},
                           {"min_slack", optional_json(result.bound.min_slack)},
                           {"median_above", optional_json(result.bound.median_above)}};
  if (!result.bound.why.empty()) json["entropy_bound"]["why"] = result.bound.why;
  json["sharpness"] = nullptr;
  if (!result.sharpness.empty()) {
    Json correlations = Json::array();
    for (const SharpnessResult& row : result.sharpness)
      correlations.push_back({{"name", row.signal->name},
                              {"eigenvalue", estimate_json(row.eigenvalue)},
                              {"ratio", estimate_json(row.ratio)}});
    json["sharpness"] = {{"points", result.sharpness_points},
                         {"unmatched", result.sharpness_unmatched},
                         {"spearman", correlations}};
  } else {
    json["why"] = "sharpness: no file was given";
  }
  json["constants"] = {{"interval_level", result.options.level},
                       {"false_alarm_share", result.options.false_alarm_share},
                       {"min_stable", result.options.min_stable},
                       {"min_groups", kMinGroups},
                       {"min_pairs", kMinPairs},
                       {"onset_records", kOnsetRecords},
                       {"degraded_share", Options{}.degraded_share}};
  return json;
}

}  // namespace evenkeel::analysis
