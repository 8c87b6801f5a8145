#include "evenkeel/runs/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/median.h"
#include "evenkeel/runs/effective_lr.h"
#include "evenkeel/runs/json_fields.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::runs {
namespace {

constexpr const char* kSummary = "summary.jsonl";
constexpr std::int64_t kSummaryFormat = 1;
constexpr const char* kMedianStep = "median_step_s";

/// The series of Signals, with the metrics they are.
constexpr std::array<std::pair<const char*, Series Signals::*>, 5> kSeries{{
    {"loss/train/ce", &Signals::train_loss},
    {"loss/valid/ce", &Signals::valid_loss},
    {"logits/out/mean", &Signals::output_mean},
    {"logits/out/logz", &Signals::output_logz},
    {"curvature/all/edge_ratio", &Signals::edge_ratio},
}};
constexpr std::array<std::pair<const char*, Series AttentionSignals::*>, 3> kAttentionSeries{{
    {"logit_max", &AttentionSignals::logit_max},
    {"entropy_min", &AttentionSignals::entropy_min},
    {"qk_sigma_max", &AttentionSignals::qk_sigma_max},
}};

Json to_json(const Series& series) {
  const Series thinned = thin(series, kSummaryPoints);
  return {{"at", thinned.steps},
          {"values", thinned.values},
          {"recorded", std::max(thinned.recorded, thinned.steps.size())}};
}

std::vector<double> numbers(const Json& values) {
  std::vector<double> out;
  for (const Json& value : values) out.push_back(number_from_json(value, kSummary));
  return out;
}

Series series_from(const Json& document) {
  Series series;
  series.steps = document.at("at").get<std::vector<std::int64_t>>();
  series.values = numbers(document.at("values"));
  const auto recorded = document.at("recorded").get<std::size_t>();
  if (recorded > series.steps.size()) series.recorded = recorded;
  return series;
}

std::vector<std::vector<double>> grid_from(const Json& rows) {
  std::vector<std::vector<double>> grid;
  for (const Json& row : rows) grid.push_back(numbers(row));
  return grid;
}

constexpr std::array<std::pair<const char*, double Outcomes::*>, 7> kOutcomes{{
    {"logit_peak", &Outcomes::logit_peak},
    {"entropy_low", &Outcomes::entropy_low},
    {"edge_peak", &Outcomes::edge_peak},
    {"logit_mean_end", &Outcomes::logit_mean_end},
    {"logz_end", &Outcomes::logz_end},
    {"grad_rms_low", &Outcomes::grad_rms_low},
    {"collapsed_share", &Outcomes::collapsed_share},
}};

Json to_json(const Outcomes& outcomes) {
  Json record{
      {"heads_step", outcomes.heads_step}, {"spikes", outcomes.spikes}, {"collapses", outcomes.collapses}};
  for (const auto& [name, member] : kOutcomes) record[name] = outcomes.*member;
  return record;
}

Outcomes outcomes_from(const Json& record) {
  Outcomes outcomes;
  for (const auto& [name, member] : kOutcomes) outcomes.*member = number_from_json(record.at(name), name);
  outcomes.heads_step = record.at("heads_step").get<std::int64_t>();
  outcomes.spikes = record.at("spikes").get<int>();
  outcomes.collapses = record.at("collapses").get<int>();
  return outcomes;
}

std::vector<std::string_view> lines_of(const std::string& content) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0, end = 0; (end = content.find('\n', at)) != std::string::npos; at = end + 1)
    lines.push_back(std::string_view(content).substr(at, end - at));
  return lines;
}

/// True when no file that the summary stands for was written after the result. Copies whose times are in
/// another order are taken for changed, which costs time and nothing else.
bool unchanged_since_end(const fs::path& run) {
  std::error_code error;
  const auto end = fs::last_write_time(run / "result.json", error);
  if (error) return false;
  for (const char* name :
       {"manifest.json", "metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl", kSummary}) {
    const auto time = fs::last_write_time(run / name, error);
    if (error || time > end) return false;
  }
  return true;
}

/// Names the fields that a configuration has: a version with other fields reads the manifest, which fills
/// them in.
const std::string& fields_of_experiment() {
  static const std::string hash = [] {
    std::string paths;
    for (const FieldDoc& field : describe<Experiment>()) paths += field.path + "\n";
    return content_hash(paths).substr(0, 16);
  }();
  return hash;
}

double step_s_of(const fs::path& timing) {
  Series step_s;
  for_each_record(timing, [&](Json&& record) { add_scalar(step_s, record, "step_s"); });
  return median_of_finite(std::move(step_s.values));
}

/// The last line of the run's clock, which finish() made of the others.
double recorded_median(const fs::path& timing) {
  const std::string content = read_file(timing);
  const auto lines = lines_of(content);
  if (lines.empty()) return std::nan("");
  const auto last = decode_record(lines.back());
  return last && last->contains(kMedianStep) ? number_from_json(last->at(kMedianStep), kMedianStep)
                                             : std::nan("");
}

}  // namespace

void write_summary(const fs::path& run, const Result& result) {
  const Cell cell = cell_from_manifest(run);
  const Signals signals = read_signals(run);
  std::string content;
  const auto add = [&](const Json& record) { content += encode_record(record) + "\n"; };
  Json facts = {{"format", kSummaryFormat},
                {"fields", fields_of_experiment()},
                {"arm", cell.arm_hint},
                {"size", cell.size},
                {"params", cell.params},
                {"lr", cell.lr},
                {"seed", cell.seed},
                {"steps", cell.steps},
                {"config_hash", cell.config_hash},
                {"h1", cell.h1},
                {"floor", cell.floor},
                {"effective_lr", effective_lr(run)},
                {"digest", result.digest}};
  if (!signals.train_loss.values.empty()) facts["train_loss"] = signals.train_loss.values.back();
  add(facts);
  add({{"config", cell.config}});
  add(to_json(signals.outcomes));
  for (const auto& [id, member] : kSeries) {
    Json record = to_json(signals.*member);
    record["series"] = id;
    add(record);
  }
  for (const AttentionSignals& kind : signals.attention) {
    Json record{
        {"attention", kind.kind}, {"end_entropy", kind.end_entropy}, {"end_logit_max", kind.end_logit_max}};
    for (const auto& [name, member] : kAttentionSeries) record[name] = to_json(kind.*member);
    add(record);
  }
  write_file(run / kSummary, content);
}

Json median_step(const fs::path& run) {
  const double median = step_s_of(run / "timing.jsonl");
  return median > 0 ? Json{{kMedianStep, median}} : Json(nullptr);
}

std::optional<Cell> cell_from_summary(const fs::path& run, const Result& result) {
  if (!unchanged_since_end(run)) return std::nullopt;
  std::string content;
  try {
    content = read_file(run / kSummary);
  } catch (const std::runtime_error&) {  // the line files say the same
    return std::nullopt;
  }
  const auto lines = lines_of(content);
  if (lines.size() < 3) return std::nullopt;
  const auto facts = decode_record(lines[0]), config = decode_record(lines[1]);
  if (!facts || !config) return std::nullopt;
  try {
    if (facts->at("format") != kSummaryFormat || facts->at("fields") != fields_of_experiment() ||
        facts->at("digest") != result.digest)
      return std::nullopt;
    const auto number = [&](const char* key) { return number_from_json(facts->at(key), key); };
    const auto integer = [&](const char* key) { return integer_from_json(facts->at(key), key); };
    Cell cell;
    cell.run = run;
    cell.arm_hint = facts->at("arm").get<std::string>();
    cell.size = facts->at("size").get<std::string>();
    cell.params = integer("params");
    cell.lr = number("lr");
    cell.seed = integer("seed");
    cell.steps = integer("steps");
    cell.config_hash = facts->at("config_hash").get<std::string>();
    cell.config = config->at("config");
    cell.h1 = number("h1");
    cell.floor = number("floor");
    if (cell.config.empty()) cell.steps = result.steps;
    cell.l0 = result.l0;
    cell.result = result;
    cell.summed = Cell::Summed{std::nullopt, number("effective_lr")};
    if (facts->contains("train_loss")) cell.summed->train_loss = number("train_loss");
    return cell;
  } catch (const Json::exception&) {
    return std::nullopt;
  } catch (const InputError&) {
    return std::nullopt;
  }
}

Outcomes outcomes_of(const Cell& cell) {
  if (cell.summed) {
    const std::string content = read_file(cell.run / kSummary);
    const auto lines = lines_of(content);
    try {
      if (const auto record = lines.size() > 2 ? decode_record(lines[2]) : std::nullopt)
        return outcomes_from(*record);
    } catch (const Json::exception&) {  // the line files say the same
    }
  }
  return read_signals(cell.run).outcomes;
}

Signals signals_of(const Cell& cell) {
  if (!cell.summed) return read_signals(cell.run);
  const std::string content = read_file(cell.run / kSummary);
  Signals signals;
  try {
    const auto lines = lines_of(content);
    for (std::size_t i = 2; i < lines.size(); ++i) {
      const auto record = decode_record(lines[i]);
      if (!record) return read_signals(cell.run);
      if (i == 2) {
        signals.outcomes = outcomes_from(*record);
      } else if (record->contains("series")) {
        for (const auto& [id, member] : kSeries)
          if (record->at("series") == id) signals.*member = series_from(*record);
      } else {
        AttentionSignals kind{.kind = record->at("attention").get<std::string>()};
        for (const auto& [name, member] : kAttentionSeries) kind.*member = series_from(record->at(name));
        kind.end_entropy = grid_from(record->at("end_entropy"));
        kind.end_logit_max = grid_from(record->at("end_logit_max"));
        signals.attention.push_back(std::move(kind));
      }
    }
    return signals;
  } catch (const Json::exception&) {
    return read_signals(cell.run);
  }
}

double step_ms(const Cell& cell) {
  const fs::path timing = cell.run / "timing.jsonl";
  std::error_code error;
  if (!fs::exists(timing, error)) return std::nan("");
  if (const double median = recorded_median(timing); median > 0) return 1e3 * median;
  if (const double step_s = step_s_of(timing); step_s > 0) return 1e3 * step_s;
  const double rate = median_of_finite(scalar_series(read_records(timing), "tokens_per_s").values);
  if (!(rate > 0) || cell.config.empty()) return std::nan("");
  const double tokens =
      cell.config["train"]["batch"].get<double>() * cell.config["arch"]["context"].get<double>();
  return 1e3 * tokens / rate;
}

std::optional<double> last_train_loss(const Cell& cell) {
  if (cell.summed) return cell.summed->train_loss;
  Series train;
  for_each_record(cell.run / "metrics.jsonl",
                  [&](Json&& record) { add_scalar(train, record, "loss/train/ce"); });
  return train.values.empty() ? std::nullopt : std::optional(train.values.back());
}

double effective_lr_of(const Cell& cell) {
  return cell.summed ? cell.summed->effective_lr : effective_lr(cell.run);
}

}  // namespace evenkeel::runs
