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

/// Where a boundary is, or the bound it lies beyond, in decades.
double place(const Boundary& b) {
  return std::log10(b.kind == Kind::kFitted ? b.value : b.bound);
}

/// Zou & Donner's limits for a difference of two estimates, each with limits of its own.
Interval difference_limits(const Boundary& arm, const Boundary& baseline) {
  const double a = place(arm), b = place(baseline);
  // A limit may lie on the wrong side of a bound; then it adds no uncertainty.
  const auto reach = [](double x) { return std::max(0.0, x); };
  const double low =
      std::hypot(reach(a - std::log10(arm.interval.low)), reach(std::log10(baseline.interval.high) - b));
  const double high =
      std::hypot(reach(std::log10(arm.interval.high) - a), reach(b - std::log10(baseline.interval.low)));
  return {a - b - low, a - b + high};
}

Shift boundary_shift(const Boundary& arm, const Boundary& baseline) {
  if (arm.kind == Kind::kNone) return {Estimate::missing(arm.why), false};
  if (baseline.kind == Kind::kNone) return {Estimate::missing("baseline: " + baseline.why), false};
  const bool fitted = arm.kind == Kind::kFitted && baseline.kind == Kind::kFitted;
  if (!fitted && arm.kind == baseline.kind) {
    return {Estimate::missing("both boundaries lie outside the swept LRs"), false};
  }
  Estimate e;
  e.value = place(arm) - place(baseline);
  e.interval = difference_limits(arm, baseline);
  if (fitted) return {e, false};
  // The bound must point the same way as the difference, or nothing can be said.
  const bool arm_higher = arm.kind == Kind::kAboveRange || baseline.kind == Kind::kBelowRange;
  if ((*e.value > 0) != arm_higher)
    return {Estimate::missing("one boundary lies outside the swept LRs"), false};
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
Estimate paired_change(const Curve& arm, double lr_a, const Curve& baseline, double lr_b,
                       const Options& options) {
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
  Estimate change = mean_with_interval(changes, options.level, options.bootstrap_from_seeds);
  if (!change.value) change.why = "not finite in one of the arms";
  return change;
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

  const bool known = arm.boundary.kind != Kind::kNone && baseline.boundary.kind != Kind::kNone;
  const auto theirs = known ? first_unstable(baseline) : std::map<std::int64_t, double>{};
  for (const auto& [seed, lr] : first_unstable(arm)) {
    const auto it = theirs.find(seed);
    if (it == theirs.end()) continue;
    ++c.seeds;
    c.agree += lr > it->second;
  }
  c.boundary_decades.n = c.seeds;

  if (arm.stable_decades.value && baseline.stable_decades.value) {
    c.stable_decades_change = c.boundary_decades;
    const double lower_edge = std::log10(*arm.stable_lr_min.value / *baseline.stable_lr_min.value);
    *c.stable_decades_change.value -= lower_edge;
    c.stable_decades_change.interval->low -= lower_edge;
    c.stable_decades_change.interval->high -= lower_edge;
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
  if (arm.step_ms > 0 && baseline.step_ms > 0) {
    c.step_time_ratio.value = arm.step_ms / baseline.step_ms;
    c.step_time_ratio.why = "from wall clocks: not reproducible, no interval";
  } else {
    c.step_time_ratio = Estimate::missing("step times were not recorded");
  }
  return c;
}

}  // namespace evenkeel::analysis
