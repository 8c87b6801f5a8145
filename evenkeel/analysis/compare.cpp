#include "evenkeel/analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace evenkeel::analysis {
namespace {

using Kind = Boundary::Kind;

struct Shift {
  Estimate decades;
  bool at_least = false;
};

Shift boundary_shift(const Boundary& arm, const Boundary& baseline) {
  if (arm.kind == Kind::kNone) return {Estimate::missing(arm.why), false};
  if (baseline.kind == Kind::kNone) return {Estimate::missing("baseline: " + baseline.why), false};
  if (arm.kind == Kind::kFitted && baseline.kind == Kind::kFitted) {
    const double a = std::log10(arm.value), b = std::log10(baseline.value);
    Estimate e;
    e.value = a - b;
    const double low = std::hypot(a - std::log10(arm.interval.low), std::log10(baseline.interval.high) - b);
    const double high = std::hypot(std::log10(arm.interval.high) - a, b - std::log10(baseline.interval.low));
    e.interval = Interval{*e.value - low, *e.value + high};
    return {e, false};
  }
  if (arm.kind == baseline.kind)
    return {Estimate::missing("both boundaries lie outside the swept LRs"), false};
  // At least one is a bound. The bound points the same way as the difference, or nothing can be said.
  const bool arm_higher = arm.kind == Kind::kAboveRange || baseline.kind == Kind::kBelowRange;
  const auto place = [](const Boundary& b) {
    return std::log10(b.kind == Kind::kFitted ? b.value : b.bound);
  };
  const double shift = place(arm) - place(baseline);
  if ((shift > 0) != arm_higher) return {Estimate::missing("one boundary lies outside the swept LRs"), false};
  Estimate e;
  e.value = shift;
  e.why = "one boundary lies outside the swept LRs: this is a bound";
  return {e, true};
}

/// Per seed, the smallest unstable LR; infinite when none is.
std::map<std::int64_t, double> first_unstable(const Curve& curve) {
  std::map<std::int64_t, double> first;
  for (const auto& p : curve.points) {
    if (p.cell.label == "missing") continue;
    double& f = first.try_emplace(p.cell.seed, std::numeric_limits<double>::infinity()).first->second;
    if (p.unstable) f = std::min(f, p.cell.lr);
  }
  return first;
}

/// Paired by seed: loss of `arm` at lr_a minus loss of `baseline` at lr_b.
Estimate paired_change(const Curve& arm, double lr_a, const Curve& baseline, double lr_b, double level) {
  std::map<std::int64_t, double> base;
  for (const auto& p : baseline.points) {
    if (same_lr(p.cell.lr, lr_b) && p.cell.label != "missing") base[p.cell.seed] = p.cell.loss;
  }
  std::vector<double> changes;
  for (const auto& p : arm.points) {
    if (!same_lr(p.cell.lr, lr_a) || p.cell.label == "missing" || !base.count(p.cell.seed)) continue;
    changes.push_back(p.cell.loss - base[p.cell.seed]);
  }
  if (changes.empty()) return Estimate::missing("no seed was run in both arms");
  return mean_with_interval(changes, level);
}

}  // namespace

Comparison compare(const Curve& arm, const Curve& baseline, const Options& options) {
  Comparison c;
  c.arm = arm.arm;
  c.baseline = baseline.arm;
  c.size = arm.size;
  const Shift shift = boundary_shift(arm.boundary, baseline.boundary);
  c.boundary_decades = shift.decades;
  c.at_least = shift.at_least;

  const auto theirs = first_unstable(baseline);
  for (const auto& [seed, lr] : first_unstable(arm)) {
    const auto it = theirs.find(seed);
    if (it == theirs.end()) continue;
    ++c.seeds;
    c.agree += lr > it->second;
  }
  c.boundary_decades.n = c.seeds;

  if (arm.best_lr.value && baseline.best_lr.value) {
    c.best_loss_change =
        paired_change(arm, *arm.best_lr.value, baseline, *baseline.best_lr.value, options.level);
  } else {
    c.best_loss_change =
        Estimate::missing(arm.best_lr.value ? "baseline: " + baseline.best_lr.why : arm.best_lr.why);
  }
  for (const auto& row : arm.lrs) {
    if (baseline.at(row.lr))
      c.loss_change.push_back({row.lr, paired_change(arm, row.lr, baseline, row.lr, options.level)});
  }
  if (arm.step_ms > 0 && baseline.step_ms > 0) {
    c.step_time_ratio.value = arm.step_ms / baseline.step_ms;
    c.step_time_ratio.why = "from wall clocks: not reproducible, no interval";
  } else {
    c.step_time_ratio = Estimate::missing("step times were not recorded");
  }
  return c;
}

}  // namespace evenkeel::analysis
