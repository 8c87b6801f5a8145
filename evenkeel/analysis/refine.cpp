#include "evenkeel/analysis/refine.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace evenkeel::analysis {
namespace {

/// A number people can read and type.
double tidy(double lr) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", lr);
  return std::strtod(text, nullptr);
}

}  // namespace

std::vector<NextRun> next_runs(const Analysis& analysis) {
  std::vector<NextRun> runs;
  for (const Curve& curve : analysis.curves) {
    if (curve.lrs.size() < 2) continue;
    const auto step = [&](std::size_t i) { return curve.lrs[i + 1].lr / curve.lrs[i].lr; };
    for (const Bracket& b : curve.boundary.brackets) {
      double lr = 0;
      if (b.finite()) lr = std::pow(10.0, 0.5 * (b.low + b.high));
      else if (std::isfinite(b.low)) lr = std::pow(10.0, b.low) * step(curve.lrs.size() - 2);
      else lr = std::pow(10.0, b.high) / step(0);
      runs.push_back({curve.arm, curve.size, b.seed, tidy(lr)});
    }
  }
  return runs;
}

}  // namespace evenkeel::analysis
