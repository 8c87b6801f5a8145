#include "evenkeel/analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace evenkeel::analysis {
namespace {

/// Paired by seed: loss of `arm` at lr_a minus loss of `baseline` at lr_b.
Estimate paired_change(const Curve& arm, double lr_a, const Curve& baseline, double lr_b,
                       const Options& options) {
  std::map<std::int64_t, double> base;
  for (const auto& p : baseline.points) {
    if (!p.cell.refined && same_lr(p.cell.lr, lr_b) && p.cell.label != "missing")
      base[p.cell.seed] = p.cell.loss;
  }
  std::vector<double> changes;
  for (const auto& p : arm.points) {
    if (p.cell.refined || !same_lr(p.cell.lr, lr_a) || p.cell.label == "missing" || !base.count(p.cell.seed))
      continue;
    changes.push_back(p.cell.loss - base[p.cell.seed]);
  }
  if (changes.empty()) return Estimate::missing("no seed was run in both arms");
  Estimate change = mean_with_interval(changes, options.level);
  if (!change.value) change.why = "not finite in one of the arms";
  return change;
}

}  // namespace

Comparison compare(const Curve& arm, const Curve& baseline, const Options& options) {
  Comparison c;
  c.arm = arm.arm;
  c.baseline = baseline.arm;
  c.size = arm.size;
  c.shift = shift_between(arm.boundary, baseline.boundary, options.margin, options.level);

  if (arm.stable_decades.value && baseline.stable_decades.value && c.shift.known()) {
    // The lower edges are learning rates of the grid, without an interval of their own.
    const double lower_edge = std::log10(*arm.stable_lr_min.value / *baseline.stable_lr_min.value);
    c.stable_decades_change = {c.shift.middle() - lower_edge, {}, c.shift.why, c.shift.seeds};
    if (c.shift.interval) {
      c.stable_decades_change.interval =
          Interval{c.shift.interval->low - lower_edge, c.shift.interval->high - lower_edge};
    }
  } else {
    c.stable_decades_change = Estimate::missing(
        arm.stable_decades.value ? "baseline: " + baseline.stable_decades.why : arm.stable_decades.why);
  }

  if (arm.best_lr.value && baseline.best_lr.value) {
    c.best_loss_change = paired_change(arm, *arm.best_lr.value, baseline, *baseline.best_lr.value, options);
  } else {
    c.best_loss_change =
        Estimate::missing(arm.best_lr.value ? "baseline: " + baseline.best_lr.why : arm.best_lr.why);
  }
  for (const auto& row : arm.lrs) {
    if (baseline.at(row.lr))
      c.loss_change.push_back({row.lr, paired_change(arm, row.lr, baseline, row.lr, options)});
  }
  return c;
}

}  // namespace evenkeel::analysis
