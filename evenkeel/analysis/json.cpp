#include "evenkeel/analysis/json.h"

#include <cmath>

#include "evenkeel/analysis/verdict.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/telemetry/detectors.h"

namespace evenkeel::analysis {
namespace {

using telemetry::CollapseDetector;
using telemetry::SpikeDetector;

Json interval_json(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return Json::array({interval->low, interval->high});
}

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
Json value_json(const Estimate& e) {
  return e.value ? Json(*e.value) : Json(nullptr);
}

/// Collects the reasons of one object into its "why".
class Reasons {
 public:
  void add(const std::string& name, const std::string& why) {
    if (!why.empty()) text_ += (text_.empty() ? "" : "; ") + name + ": " + why;
  }
  void put_into(Json& json) const {
    if (!text_.empty()) json["why"] = text_;
  }

 private:
  std::string text_;
};

Json window_json(const Sensitivity& s) {
  Json json{{"value", s.value ? Json(*s.value) : Json(nullptr)},
            {"lrs", s.lrs},
            {"interval", interval_json(s.interval)}};
  json["below"] = s.value ? Json(s.below) : Json(nullptr);
  json["above"] = s.value ? Json(s.above) : Json(nullptr);
  json["undertrained"] = s.value ? Json(s.undertrained) : Json(nullptr);
  if (!s.why.empty()) json["why"] = s.why;
  return json;
}

Json sensitivity_json(const Curve& c) {
  // The split, the interval and the mark belong to the first window that could be computed; it is named.
  const char* name = c.paper.value ? "paper" : c.run_length.value ? "run_length" : "swept";
  const Sensitivity& s = c.paper.value ? c.paper : c.run_length.value ? c.run_length : c.swept;
  const Json main = window_json(s);
  Json json{{"paper", c.paper.value ? Json(*c.paper.value) : Json(nullptr)},
            {"run_length", c.run_length.value ? Json(*c.run_length.value) : Json(nullptr)},
            {"swept", c.swept.value ? Json(*c.swept.value) : Json(nullptr)},
            {"below", main["below"]},
            {"above", main["above"]},
            {"interval", main["interval"]},
            {"undertrained", main["undertrained"]},
            {"split_of", s.value ? Json(name) : Json(nullptr)},
            {"windows",
             {{"paper", window_json(c.paper)},
              {"run_length", window_json(c.run_length)},
              {"swept", window_json(c.swept)}}}};
  Reasons reasons;
  reasons.add("paper", c.paper.why);
  reasons.add("run_length", c.run_length.why);
  reasons.add("swept", c.swept.why);
  reasons.put_into(json);
  return json;
}

/// 10^x of a bracket's end; null where the bracket is open.
Json end_json(double x) {
  return std::isfinite(x) ? Json(std::pow(10.0, x)) : Json(nullptr);
}

Json boundary_json(const Boundary& b) {
  using Kind = Boundary::Kind;
  static constexpr const char* kNames[] = {"none", "bracketed", "at_least", "at_most"};
  Json brackets = Json::array();
  for (const Bracket& seed : b.brackets) {
    brackets.push_back({{"seed", seed.seed},
                        {"low", end_json(seed.low)},
                        {"high", end_json(seed.high)},
                        {"stable_above", seed.stable_above}});
  }
  const bool low = b.kind == Kind::kBracketed || b.kind == Kind::kAtLeast;
  const bool high = b.kind == Kind::kBracketed || b.kind == Kind::kAtMost;
  Json json{{"kind", kNames[static_cast<int>(b.kind)]},
            {"low", low ? Json(b.low) : Json(nullptr)},
            {"high", high ? Json(b.high) : Json(nullptr)},
            {"middle", low && high ? Json(b.middle()) : Json(nullptr)},
            {"interval", interval_json(b.interval)},
            {"width_decades", number_or_null(b.width())},
            {"brackets", brackets},
            {"blocked_seeds", b.blocked},
            {"reentrant_seeds", b.reentrant},
            {"interval_if_last", interval_json(b.interval_if_last)}};
  if (!b.why.empty()) json["why"] = b.why;
  return json;
}

Json shift_json(const Comparison& c) {
  const Shift& s = c.shift;
  const auto end = [&](double x) { return s.known() && std::isfinite(x) ? Json(x) : Json(nullptr); };
  Json json{{"direction", direction_name(s.direction)},
            {"low", end(s.low)},
            {"high", end(s.high)},
            {"middle", end(s.middle())},
            {"interval", interval_json(s.interval)},
            {"paired", s.paired},
            {"seeds", s.seeds},
            {"later", s.later},
            {"earlier", s.earlier},
            {"undecided", s.seeds - s.later - s.earlier},
            {"p", s.known() ? Json(s.p) : Json(nullptr)},
            {"holm_p", s.known() ? Json(c.holm_p) : Json(nullptr)},
            {"stands", c.stands}};
  if (!s.why.empty()) json["why"] = s.why;
  return json;
}

Json points_json(const Curve& curve) {
  Json points = Json::array();
  for (const auto& p : curve.points) {
    const bool missing = p.cell.label == "missing";
    Json point{{"lr", p.cell.lr},
               {"seed", p.cell.seed},
               {"loss", missing ? Json(nullptr) : Json(p.cell.loss)},
               {"label", p.cell.label},
               {"refined", p.cell.refined},
               {"relapsed", missing ? Json(nullptr) : Json(p.cell.relapsed)},
               {"effective_lr", number_or_null(p.cell.effective_lr)},
               {"unstable", missing ? Json(nullptr) : Json(p.unstable)}};
    if (missing) point["why"] = "the cell has not ended";
    points.push_back(std::move(point));
  }
  return points;
}

Json curve_json(const Curve& c) {
  Json lrs = Json::array();
  for (const auto& row : c.lrs) {
    Json json = estimate_json(row.loss);
    json["lr"] = row.lr;
    json["cells"] = row.cells;
    json["nonfinite_runs"] = row.nonfinite;
    json["unstable"] = row.unstable;
    json["missing"] = row.missing;
    json["effective_lr"] = number_or_null(row.effective_lr);
    lrs.push_back(std::move(json));
  }
  Json json{{"arm", c.arm},
            {"size", c.size},
            {"params", c.params >= 0 ? Json(c.params) : Json(nullptr)},
            {"steps", c.steps > 0 ? Json(c.steps) : Json(nullptr)},
            {"l0", number_or_null(c.l0)},
            {"points", points_json(c)},
            {"means", lrs},
            {"sensitivity", sensitivity_json(c)},
            {"best_lr", value_json(c.best_lr)},
            {"best_loss", value_json(c.best_loss)},
            {"best_loss_interval", interval_json(c.best_loss.interval)},
            {"seed_spread", value_json(c.seed_spread)},
            {"stable_lr_max", value_json(c.stable_lr_max)},
            {"stable_lr_min", value_json(c.stable_lr_min)},
            {"boundary_lr", boundary_json(c.boundary)},
            {"stable_decades", estimate_json(c.stable_decades)},
            {"headroom_decades", estimate_json(c.headroom_decades)},
            {"seeds", c.seeds},
            {"refined_cells", c.refined},
            {"missing_cells", c.missing},
            {"step_ms", number_or_null(c.step_ms)}};
  Reasons reasons;
  if (c.params < 0) reasons.add("params", "not said");
  if (c.steps <= 0) reasons.add("steps", "not said, or different between cells");
  if (!std::isfinite(c.l0)) reasons.add("l0", "no run of the baseline arm at this size recorded it");
  if (!std::isfinite(c.step_ms)) reasons.add("step_ms", "not recorded");
  for (const auto& [name, e] : {std::pair{"best_lr", &c.best_lr},
                                {"best_loss", &c.best_loss},
                                {"seed_spread", &c.seed_spread},
                                {"stable_lr_max", &c.stable_lr_max},
                                {"stable_lr_min", &c.stable_lr_min}}) {
    if (!e->value) reasons.add(name, e->why);
  }
  if (c.best_loss.value && !c.best_loss.interval) reasons.add("best_loss_interval", c.best_loss.why);
  reasons.put_into(json);
  return json;
}

Json comparison_json(const Analysis& analysis, const Comparison& c) {
  const Finding f = finding(analysis, c);
  Json changes = Json::array();
  for (const auto& row : c.loss_change) {
    Json json = estimate_json(row.change);
    json["lr"] = row.lr;
    changes.push_back(std::move(json));
  }
  return {{"arm", c.arm},
          {"headline", f.headline},
          {"details", f.details},
          {"baseline", c.baseline},
          {"size", c.size},
          {"shift", shift_json(c)},
          {"stable_decades_change", estimate_json(c.stable_decades_change)},
          {"best_loss_change", estimate_json(c.best_loss_change)},
          {"loss_change", changes}};
}

}  // namespace

Json estimate_json(const Estimate& e) {
  Json json{{"value", value_json(e)}, {"interval", interval_json(e.interval)}, {"n", e.n}};
  if (!e.why.empty() && (!e.value || !e.interval)) json["why"] = e.why;
  return json;
}

Json analysis_json(const Analysis& analysis) {
  const Options& o = analysis.options;
  Json json{{"baseline", o.baseline.empty() ? Json(nullptr) : Json(o.baseline)},
            {"arms", analysis.arms},
            {"sizes", analysis.sizes},
            {"curves", Json::array()},
            {"comparisons", Json::array()},
            {"verdict", verdict(analysis)},
            {"constants",
             {{"interval_level", o.level},
              {"degraded_share", o.degraded_share},
              {"window", {o.window_low, o.window_high}},
              {"window_steps", o.window_steps},
              {"not_learned_margin", runs::kNotLearnedMargin},
              {"spike",
               {{"window", SpikeDetector::kWindow},
                {"deviations", SpikeDetector::kThreshold},
                {"recovered", SpikeDetector::kRecovered}}},
              {"collapse",
               {{"entropy_norm", CollapseDetector::kThreshold}, {"records", CollapseDetector::kRecords}}},
              {"margin_decades", o.margin}}},
            {"comparisons_made", analysis.comparisons.size()},
            {"multiplicity", number_of_comparisons(analysis)}};
  if (!analysis.no_baseline.empty()) json["why"] = analysis.no_baseline;
  for (const Curve& c : analysis.curves) json["curves"].push_back(curve_json(c));
  for (const Comparison& c : analysis.comparisons)
    json["comparisons"].push_back(comparison_json(analysis, c));
  return json;
}

}  // namespace evenkeel::analysis
