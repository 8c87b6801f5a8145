#include "evenkeel/analysis/predictor_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/base/error.h"
#include "evenkeel/runs/effective_lr.h"

namespace evenkeel::analysis {
namespace {

std::string folder_name(const fs::path& run) {
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(run, error);
  return (error ? run : canonical).lexically_normal().string();
}

std::string configuration_of(Experiment e) {
  e.train.seed = 0;
  return config_hash(e);
}

void add(runs::Series& series, std::int64_t step, double value) {
  series.steps.push_back(step);
  series.values.push_back(value);
}

/// NaN anywhere makes the result NaN, whatever the order.
double worse(double a, double b, bool low) {
  if (std::isnan(a) || std::isnan(b)) return kUnknown;
  return low ? std::min(a, b) : std::max(a, b);
}

std::vector<double> numbers(const Json& value, const std::string& key) {
  std::vector<double> out;
  if (!value.is_array()) return {number_from_json(value, key)};
  for (const Json& item : value) out.push_back(number_from_json(item, key));
  return out;
}

/// One record of heads.jsonl, folded over layers, heads and tensors; what it lacks stays empty.
struct HeadRecord {
  std::optional<double> entropy_layer, entropy_head, logit_max, qk_sigma, update_ratio, slack;
  std::vector<double> above_bound;

  explicit HeadRecord(const Json& record) {
    for (const auto& [key, value] : record.items()) {
      const std::size_t slash = key.rfind('/');
      if (slash == std::string::npos || !key.starts_with("attn/")) continue;
      attention(record, key, key.substr(0, slash + 1), std::string_view(key).substr(slash + 1), value);
    }
    update_ratio = runs::update_ratio(record);
  }

 private:
  static void fold(std::optional<double>& into, double value, bool low) {
    into = into ? worse(*into, value, low) : value;
  }

  void attention(const Json& record, const std::string& key, const std::string& site,
                 std::string_view quantity, const Json& value) {
    if (quantity == "entropy_norm") {
      const auto heads = numbers(value, key);
      if (heads.empty()) return;
      fold(entropy_layer, mean(heads), true);
      for (const double v : heads) fold(entropy_head, v, true);
    } else if (quantity == "logit_max") {
      for (const double v : numbers(value, key)) fold(logit_max, v, false);
    } else if (quantity == "qk_sigma") {
      for (const double v : numbers(value, key)) fold(qk_sigma, v, false);
    } else if (quantity == "entropy_slack") {
      for (const double v : numbers(value, key)) fold(slack, v, true);
    } else if (quantity == "entropy_bound" && record.contains(site + "entropy")) {
      const auto bound = numbers(value, key), entropy = numbers(record.at(site + "entropy"), key);
      for (std::size_t i = 0; i < std::min(bound.size(), entropy.size()); ++i)
        above_bound.push_back(entropy[i] - bound[i]);
    }
  }
};

std::size_t index_of(std::string_view name) {
  const auto all = signals();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Signal& s) { return s.name == name; });
  return static_cast<std::size_t>(it - all.begin());
}

void read_heads(const fs::path& run, Trajectory& t) {
  std::vector<double> above_bound;
  for (const Json& record : runs::read_records(run / "heads.jsonl")) {
    if (!record.contains("step")) continue;
    const auto step = record.at("step").get<std::int64_t>();
    const HeadRecord folded(record);
    for (const auto& [name, value] : {std::pair{"entropy_layer", folded.entropy_layer},
                                      {"entropy_head", folded.entropy_head},
                                      {"logit_max", folded.logit_max},
                                      {"qk_sigma", folded.qk_sigma},
                                      {"update_ratio", folded.update_ratio}})
      if (value) add(t.signals[index_of(name)], step, *value);
    if (folded.slack && std::isfinite(*folded.slack))
      t.entropy_slack =
          std::isnan(t.entropy_slack) ? *folded.slack : std::min(t.entropy_slack, *folded.slack);
    above_bound.insert(above_bound.end(), folded.above_bound.begin(), folded.above_bound.end());
  }
  t.above_bound = median_of_finite(std::move(above_bound));
}

void read_signals(const fs::path& run, double lr, Trajectory& t) {
  t.signals.resize(signals().size());
  const auto metrics = runs::read_records(run / "metrics.jsonl");
  t.signals[index_of("loss")] = runs::scalar_series(metrics, "loss/train/ce");
  t.signals[index_of("grad_norm")] = runs::scalar_series(metrics, "grad/all/norm");
  add(t.signals[index_of("lr")], 0, lr);
  if (!metrics.empty()) {
    runs::Series& spikes = t.signals[index_of("spikes")];
    add(spikes, 0, 0);
    for (const Json& event : runs::read_records(run / "events.jsonl"))
      if (event.value("kind", "") == "spike")
        add(spikes, event.at("step").get<std::int64_t>(), spikes.values.back() + 1);
  }
  read_heads(run, t);
}

/// The run a failing one of `curve` is compared with: at the best LR, of the same seed where that ended
/// finite, else with the smallest final loss.
const LabelledPoint* best_sibling(const Curve& curve, std::int64_t seed) {
  const LabelledPoint* best = nullptr;
  for (const LabelledPoint& p : curve.points) {
    if (!curve.best_lr.value || !same_lr(p.cell.lr, *curve.best_lr.value) || !std::isfinite(p.cell.loss))
      continue;
    if (p.cell.seed == seed) return &p;
    if (!best || p.cell.loss < best->cell.loss) best = &p;
  }
  return best;
}

/// Why the runs of a curve, or one of them, have no outcome; "" when they have.
std::string unlabelled(const Curve& curve, const LabelledPoint& p) {
  if (p.cell.label == "missing") return "not ended";
  if (curve.missing > 0) return "siblings have not ended";
  if (curve.lrs.size() < 2) return "no siblings at another learning rate";
  if (!std::isfinite(curve.l0)) return "loss at initialisation unknown";
  if (p.cell.label == "nonfinite" && !p.unstable)
    return "non-finite at or below the best learning rate: neither unstable nor stable";
  return "";
}

using CellKey = std::tuple<std::string, std::string, double, std::int64_t>;
CellKey key_of(const CellPoint& p) {
  return {p.arm, p.size, p.lr, p.seed};
}

class Loader {
 public:
  void load(const LoadedSweep& sweep) {
    damage_.insert(damage_.end(), sweep.damage.begin(), sweep.damage.end());
    const Analysis analysis = analyze(sweep);
    std::map<CellKey, const LoadedCell*> cells;
    for (const LoadedCell& cell : sweep.cells) cells[key_of(cell.point)] = &cell;
    for (const Curve& curve : analysis.curves)
      for (const LabelledPoint& p : curve.points) take(curve, p, cells);
    ++sweeps_;
  }
  PredictorRuns result() && {
    PredictorRuns all{std::move(runs_), {}, std::move(damage_)};
    for (const auto& [why, n] : left_out_) all.left_out.push_back({why, n});
    return all;
  }

 private:
  void take(const Curve& curve, const LabelledPoint& p, const std::map<CellKey, const LoadedCell*>& cells) {
    const runs::Cell& cell = cells.at(key_of(p.cell))->cell;
    if (std::string why = unlabelled(curve, p); !why.empty()) {
      ++left_out_[why];
      return;
    }
    if (cell.config.empty()) {
      ++left_out_["imported: no telemetry"];
      return;
    }
    if (!seen_.insert(cell.config_hash).second) {
      ++left_out_["the same configuration again"];
      return;
    }
    Trajectory t;
    t.run = folder_name(cell.run);
    const Experiment e = experiment_from_json(cell.config, cell.run.string());
    t.group = configuration_of(e);
    // A shape without a name is known by its parameters.
    t.size = p.cell.size.empty() ? std::to_string(p.cell.params) : p.cell.size;
    t.forced = changes_of(e).any();
    t.siblings = fmt::format("{} {} {:.6g}", sweeps_, t.size, p.cell.lr);
    t.steps = p.cell.steps;
    t.failed = p.unstable;
    t.nonfinite_step = cell.result->nonfinite_step;
    read_signals(cell.run, p.cell.lr, t);
    if (t.failed) find_onset(curve, p, cells, t);
    runs_.push_back(std::move(t));
  }

  static void find_onset(const Curve& curve, const LabelledPoint& p,
                         const std::map<CellKey, const LoadedCell*>& cells, Trajectory& t) {
    if (t.nonfinite_step) {
      t.onset = t.nonfinite_step;
      return;
    }
    const LabelledPoint* best = best_sibling(curve, p.cell.seed);
    if (!best) {
      t.onset_why = "no sibling ended finite at the best learning rate";
      return;
    }
    const auto metrics = runs::read_records(cells.at(key_of(best->cell))->cell.run / "metrics.jsonl");
    const double margin = Options{}.degraded_share * (curve.l0 - *curve.best_loss.value);
    const Onset onset =
        degraded_onset(t.signals[index_of("loss")], runs::scalar_series(metrics, "loss/train/ce"), margin);
    t.onset = onset.step;
    t.onset_why = onset.why;
    t.onset_blocked = onset.blocked;
  }

  std::vector<Trajectory> runs_;
  std::map<std::string, int> left_out_;
  std::vector<std::string> damage_;
  std::set<std::string> seen_;
  int sweeps_ = 0;
};

double number_or_unknown(const Json& object, const char* key, const std::string& where) {
  if (!object.contains(key) || object[key].is_null()) return kUnknown;
  return number_from_json(object[key], where);
}

}  // namespace

PredictorRuns load_trajectories(const std::vector<fs::path>& folders) {
  Loader loader;
  for (const fs::path& folder : folders)
    for (const LoadedSweep& sweep : load_sweeps(folder)) loader.load(sweep);
  return std::move(loader).result();
}

std::vector<SharpnessPoint> read_sharpness(const fs::path& file) {
  const Json document = read_json(file);
  std::vector<SharpnessPoint> points;
  for (const Json& entry : document.is_array() ? document : Json::array({document})) {
    try {
      const Json& sharpness = entry.at("sharpness");
      const std::string where = file.string();
      points.push_back({folder_name(entry.at("run").get<std::string>()), entry.at("step").get<std::int64_t>(),
                        number_or_unknown(sharpness, "eigenvalue", where),
                        number_or_unknown(sharpness, "ratio", where)});
    } catch (const Json::exception&) {
      throw InputError(file.string() +
                       " does not say sharpness: it needs \"run\", \"step\" and "
                       "\"sharpness\" with \"eigenvalue\" and \"ratio\"");
    }
  }
  return points;
}

}  // namespace evenkeel::analysis
