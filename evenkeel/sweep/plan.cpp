#include "evenkeel/sweep/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "evenkeel/spec/arm.h"

namespace evenkeel::sweep {
namespace {

constexpr int kMostCells = 100000;

// Seeds vary slowest, so that a sweep cut short holds whole curves of fewer seeds.
int slowness(const Axis& axis) {
  const auto of = [](const std::string& path) {
    if (path == "train.seed") return 0;
    if (is_size(path)) return 1;
    return path == "optim.lr" ? 3 : 2;
  };
  int slowest = 3;
  for (const std::string& path : axis.paths) slowest = std::min(slowest, of(path));
  return axis.name == kArmsAxis ? 2 : slowest;
}

std::string point_text(const std::vector<Axis>& axes, const std::vector<std::size_t>& at) {
  std::string text;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis::Point& point = axes[i].points[at[i]];
    if (!point.label.empty()) text += (text.empty() ? "" : ", ") + point.label;
    else
      for (const auto& [path, value] : point.settings)
        text += fmt::format("{}{}={}", text.empty() ? "" : ", ", path, value_text(value));
  }
  return text;
}

// Moves `at` to the next point, the last axis fastest; false after the last point.
bool next_point(const std::vector<Axis>& axes, std::vector<std::size_t>& at) {
  for (std::size_t i = axes.size(); i-- > 0;) {
    if (++at[i] < axes[i].points.size()) return true;
    at[i] = 0;
  }
  return false;
}

// What is swept names the arm; where nothing is, the interventions that are not at their default.
std::string name_of(const Experiment& experiment, const std::vector<Axis>& axes,
                    const std::vector<std::size_t>& at) {
  const Json config = to_json(experiment);
  std::string label;
  bool named = false;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    label += axes[i].points[at[i]].label;
    named =
        named || axes[i].name == kArmsAxis || std::any_of(axes[i].paths.begin(), axes[i].paths.end(), is_arm);
  }
  return named ? arm_name(config, axes, label) : arm_name(config, chosen_interventions(config));
}

}  // namespace

double train_flops(const Experiment& e) {
  const double tokens = static_cast<double>(e.train.steps * e.tokens_per_step());
  const double weights = static_cast<double>(e.arch.params() + e.arch.D() * e.data.vocab.value_or(0));
  const double attention = static_cast<double>(6 * e.arch.L() * e.arch.context * e.arch.D());
  return tokens * (6 * weights + attention);
}

Cell cell_at(const Cell& cell, double lr, int round) {
  Cell other = cell;
  Json config = to_json(cell.experiment);
  config["optim"]["lr"] = lr;
  other.experiment = experiment_from_json(config, "refinement");
  other.hash = config_hash(other.experiment);
  other.round = round;
  return other;
}

Plan make_plan(const SweepSpec& spec, const OpenData& open, bool fast_bf16) {
  Plan plan{spec.study, spec.axes, {}};
  std::vector<Axis> axes = spec.axes;
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return slowness(a) < slowness(b); });
  double cells = 1;
  for (const Axis& axis : axes) cells *= static_cast<double>(axis.points.size());
  if (cells > kMostCells) {
    throw InputError(
        fmt::format("[sweep] the axes cross to {:.3g} cells, more than {}; leave values out, or make "
                    "several studies of it",
                    cells, kMostCells));
  }
  std::map<std::string, OpenedData> opened;
  std::map<std::string, std::string> point_of, place_of;
  std::vector<std::size_t> at(axes.size(), 0);
  do {
    Settings settings = spec.base;
    for (std::size_t i = 0; i < axes.size(); ++i)
      for (const auto& [path, value] : axes[i].points[at[i]].settings)
        settings[path] = {value, axes[i].origin};
    Cell cell;
    cell.experiment = experiment_from(settings);
    const std::string key =
        to_json(cell.experiment.data).dump() + std::to_string(cell.experiment.arch.context);
    auto it = opened.find(key);
    if (it == opened.end()) {
      it = opened.emplace(key, open(cell.experiment.data, cell.experiment.arch.context)).first;
    }
    resolve(cell.experiment, it->second.facts, fast_bf16);
    cell.data = it->second.record;
    cell.hash = config_hash(cell.experiment);
    cell.arm = name_of(cell.experiment, axes, at);
    const std::string point = point_text(axes, at);
    if (const auto [other, fresh] = point_of.emplace(cell.hash, point); !fresh) {
      throw InputError(fmt::format(
          "[sweep] two points are the same configuration once resolved: ({}) and ({}); leave one of them out",
          other->second, point));
    }
    const std::string place = fmt::format("{} {} {} {}", cell.arm, *cell.experiment.arch.size,
                                          cell.experiment.optim.lr, cell.experiment.train.seed);
    if (const auto [other, fresh] = place_of.emplace(place, point); !fresh) {
      throw InputError(
          fmt::format("[sweep] two points have the same arm, size, learning rate and seed ({}): ({}) and "
                      "({}); sweep what sets "
                      "them apart, or give them names in [sweep.arms]",
                      place, other->second, point));
    }
    plan.cells.push_back(std::move(cell));
  } while (next_point(axes, at));
  return plan;
}

}  // namespace evenkeel::sweep
