#include "evenkeel/analysis/boundary.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <limits>

namespace evenkeel::analysis {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
// Slopes per decade searched, as powers of ten; 10^-3 is flat over any sweep, 10^3 a step.
constexpr double kLogSlopeLow = -3, kLogSlopeHigh = 3;
// Midpoints are searched this many decades beyond the swept range; an interval that reaches so far is called
// open.
constexpr double kReach = 3;

struct Data {
  std::vector<double> x;
  std::vector<bool> unstable;
  bool penalised = false;
};

double log_likelihood(const Data& data, double slope, double midpoint) {
  double sum = 0, w0 = 0, w1 = 0, w2 = 0;
  for (std::size_t i = 0; i < data.x.size(); ++i) {
    const double d = data.x[i] - midpoint;
    const double z = slope * d;
    // log P of what happened, without overflow for large |z|.
    const double margin = data.unstable[i] ? z : -z;
    sum -= margin > 0 ? std::log1p(std::exp(-margin)) : -margin + std::log1p(std::exp(margin));
    const double p = 1 / (1 + std::exp(-std::abs(z)));
    const double w = p * (1 - p);
    w0 += w;
    w1 += w * d;
    w2 += w * d * d;
  }
  if (!data.penalised) return sum;
  const double determinant = w0 * w2 - w1 * w1;
  return determinant > 0 ? sum + 0.5 * std::log(determinant) : -kInf;
}

/// Maximum of a function of one variable: coarse grid, then golden section around the best grid point.
template <class F>
std::pair<double, double> maximise(double low, double high, int grid, F&& f) {
  double best_x = low, best = -kInf;
  const double step = (high - low) / grid;
  for (int i = 0; i <= grid; ++i) {
    const double x = low + step * i, y = f(x);
    if (y > best) std::tie(best_x, best) = std::pair(x, y);
  }
  double a = std::max(low, best_x - step), b = std::min(high, best_x + step);
  constexpr double kGolden = 0.6180339887498949;
  double c = b - kGolden * (b - a), d = a + kGolden * (b - a);
  double fc = f(c), fd = f(d);
  for (int i = 0; i < 50; ++i) {
    if (fc > fd) {
      b = d;
      d = c, fd = fc;
      c = b - kGolden * (b - a), fc = f(c);
    } else {
      a = c;
      c = d, fc = fd;
      d = a + kGolden * (b - a), fd = f(d);
    }
  }
  if (fc > best) std::tie(best_x, best) = std::pair(c, fc);
  return {best_x, best};
}

/// Largest (penalised) log likelihood for a midpoint, over all slopes > 0.
double profile(const Data& data, double midpoint) {
  return maximise(kLogSlopeLow, kLogSlopeHigh, 36,
                  [&](double log_slope) { return log_likelihood(data, std::pow(10.0, log_slope), midpoint); })
      .second;
}

/// Where the profile falls below `threshold`, going from the estimate `inside` towards `outside`.
double crossing(const Data& data, double inside, double outside, double threshold) {
  double a = inside, b = inside;
  // Walk outwards first: the profile need not fall monotonically all the way to the far end.
  const double step = outside > inside ? 0.05 : -0.05;
  while (true) {
    b = a + step;
    if ((step > 0 && b > outside) || (step < 0 && b < outside)) return step > 0 ? kInf : -kInf;
    if (profile(data, b) < threshold) break;
    a = b;
  }
  for (int i = 0; i < 40; ++i) {
    const double m = 0.5 * (a + b);
    (profile(data, m) < threshold ? b : a) = m;
  }
  return 0.5 * (a + b);
}

bool slope_is_positive(const std::vector<Outcome>& outcomes) {
  double stable = 0, unstable = 0, n_stable = 0, n_unstable = 0;
  for (const auto& o : outcomes) {
    (o.unstable ? unstable : stable) += std::log10(o.lr);
    (o.unstable ? n_unstable : n_stable) += 1;
  }
  // The sign of a one-variable logistic slope is the sign of the difference of the group means.
  return unstable / n_unstable > stable / n_stable;
}

}  // namespace

Boundary fit_boundary(const std::vector<Outcome>& outcomes, double level) {
  Boundary boundary;
  double low = kInf, high = -kInf, last_stable = -kInf, first_unstable = kInf;
  for (const auto& o : outcomes) {
    low = std::min(low, o.lr);
    high = std::max(high, o.lr);
    if (o.unstable) first_unstable = std::min(first_unstable, o.lr);
    if (!o.unstable) last_stable = std::max(last_stable, o.lr);
  }
  if (outcomes.empty()) {
    boundary.why = "no cells";
    return boundary;
  }
  if (low == high) {
    boundary.why = "only one LR was swept";
    return boundary;
  }
  const bool mixed = first_unstable < kInf && last_stable > -kInf;
  if (mixed && !slope_is_positive(outcomes)) {
    boundary.why = "cells do not become unstable more often at larger LR";
    return boundary;
  }

  Data data;
  data.penalised = boundary.penalised = last_stable <= first_unstable;
  for (const auto& o : outcomes) {
    data.x.push_back(std::log10(o.lr));
    data.unstable.push_back(o.unstable);
  }
  const double from = std::log10(low) - kReach, to = std::log10(high) + kReach;
  const auto [midpoint, best] = maximise(from, to, 240, [&](double m) { return profile(data, m); });
  const double threshold = best - 0.5 * boost::math::quantile(boost::math::chi_squared(1), level);
  boundary.interval = {std::pow(10.0, crossing(data, midpoint, from, threshold)),
                       std::pow(10.0, crossing(data, midpoint, to, threshold))};
  if (first_unstable == kInf) {
    boundary.kind = Boundary::Kind::kAboveRange;
    boundary.bound = high;
    boundary.interval.high = kInf;
    boundary.why = fmt::format("no cell is unstable up to LR {:g}: the boundary lies above", high);
  } else if (last_stable == -kInf) {
    boundary.kind = Boundary::Kind::kBelowRange;
    boundary.bound = low;
    boundary.interval.low = 0;
    boundary.why = fmt::format("every cell is unstable from LR {:g} on: the boundary lies below", low);
  } else {
    boundary.kind = Boundary::Kind::kFitted;
    boundary.value = std::pow(10.0, midpoint);
    boundary.extrapolated = boundary.value < low || boundary.value > high;
  }
  return boundary;
}

}  // namespace evenkeel::analysis
