#include "evenkeel/analysis/boundary.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>

namespace evenkeel::analysis {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// From this many seeds on, numbers that agree on a bracket prove it.
constexpr int kFew = 5;

/// Mean width of the finite brackets; NaN without any.
double finite_width(std::span<const double> low, std::span<const double> high) {
  std::vector<double> widths;
  for (std::size_t i = 0; i < low.size(); ++i) {
    if (std::isfinite(low[i]) && std::isfinite(high[i])) widths.push_back(high[i] - low[i]);
  }
  return widths.empty() ? std::numeric_limits<double>::quiet_NaN() : mean(widths);
}

/// C of the interval: between the one-sided quantile, enough where [A, B] is wide against the spread of its
/// ends, and the two-sided one, needed where it is a point.
double critical_value(double scaled_width, int n, double level) {
  const boost::math::students_t t(n - 1);
  const double low = quantile(t, level), high = quantile(t, 0.5 + level / 2);
  if (std::isinf(scaled_width)) return low;
  const auto excess = [&](double c) { return cdf(t, c + scaled_width) - cdf(t, -c) - level; };
  if (excess(low) >= 0) return low;
  if (excess(high) <= 0) return high;
  std::uintmax_t iterations = 60;
  const auto root = boost::math::tools::toms748_solve(
      excess, low, high, boost::math::tools::eps_tolerance<double>(40), iterations);
  return 0.5 * (root.first + root.second);
}

Interval learning_rates(const Interval& decades) {
  return {std::pow(10.0, decades.low), std::pow(10.0, decades.high)};
}

MeanBounds bounds(const std::vector<Bracket>& brackets, double Bracket::*high_end, double level) {
  std::vector<double> low, high;
  for (const Bracket& b : brackets) {
    low.push_back(b.low);
    high.push_back(b.*high_end);
  }
  return bounds_of_mean(low, high, level);
}

}  // namespace

bool Bracket::finite() const {
  return std::isfinite(low) && std::isfinite(high);
}

bool MeanBounds::bounded() const {
  return std::isfinite(low) || std::isfinite(high);
}

MeanBounds bounds_of_mean(std::span<const double> low, std::span<const double> high, double level) {
  MeanBounds m;
  m.n = static_cast<int>(low.size());
  m.low = mean({low.begin(), low.end()});
  m.high = mean({high.begin(), high.end()});
  if (!m.bounded()) {
    m.why = "some seeds lie below every learning rate that was run and others above";
    return m;
  }
  if (m.n == 1) {
    m.why = "one seed has no spread";
    return m;
  }
  const double width = finite_width(low, high);
  if (std::isnan(width) && m.n < kFew) {
    m.why = fmt::format("{} seeds without a finite bracket bound nothing at this level; {} would", m.n, kFew);
    return m;
  }
  const double floor = m.n < kFew ? width / std::sqrt(12.0) : 0;
  const auto spread = [&](std::span<const double> end, double mean_of_end) {
    return std::isfinite(mean_of_end) ? std::max(standard_deviation({end.begin(), end.end()}), floor) : 0.0;
  };
  const double s_low = spread(low, m.low), s_high = spread(high, m.high), root_n = std::sqrt(m.n);
  const double largest = std::max(s_low, s_high);
  if (largest > 0) {
    const double c = critical_value(root_n * (m.high - m.low) / largest, m.n, level);
    m.end_error_low = c * s_low / root_n;
    m.end_error_high = c * s_high / root_n;
  }
  m.interval = Interval{m.low - m.end_error_low, m.high + m.end_error_high};
  return m;
}

Bracket bracket_of(std::int64_t seed, std::vector<Outcome> outcomes) {
  std::sort(outcomes.begin(), outcomes.end(), [](const auto& a, const auto& b) { return a.lr < b.lr; });
  Bracket b;
  b.seed = seed;
  for (const Outcome& o : outcomes) {
    const double x = std::log10(o.lr);
    const bool below = b.high == kInf;
    if (o.unstable) {
      if (below) b.high = x;
      if (b.high_if_last == kInf) b.high_if_last = x;
    } else {
      if (below) b.low = x;
      else ++b.stable_above;
      b.high_if_last = kInf;
    }
  }
  return b;
}

double Boundary::middle() const {
  return std::sqrt(low * high);
}

double Boundary::width() const {
  std::vector<double> lows, highs;
  for (const Bracket& b : brackets) {
    lows.push_back(b.low);
    highs.push_back(b.high);
  }
  return finite_width(lows, highs);
}

Boundary boundary_of(std::vector<Bracket> brackets, double level) {
  Boundary boundary;
  std::sort(brackets.begin(), brackets.end(), [](const auto& a, const auto& b) { return a.seed < b.seed; });
  const MeanBounds m = bounds(brackets, &Bracket::high, level);
  boundary.reentrant = static_cast<int>(
      std::count_if(brackets.begin(), brackets.end(), [](const Bracket& b) { return b.stable_above > 0; }));
  if (boundary.reentrant > 0) {
    if (const auto last = bounds(brackets, &Bracket::high_if_last, level).interval)
      boundary.interval_if_last = learning_rates(*last);
  }
  boundary.brackets = std::move(brackets);
  boundary.why = m.why;
  if (!m.bounded()) return boundary;
  boundary.kind = std::isinf(m.high)  ? Boundary::Kind::kAtLeast
                  : std::isinf(m.low) ? Boundary::Kind::kAtMost
                                      : Boundary::Kind::kBracketed;
  boundary.low = std::pow(10.0, m.low);
  boundary.high = std::pow(10.0, m.high);
  if (m.interval) boundary.interval = learning_rates(*m.interval);
  return boundary;
}

}  // namespace evenkeel::analysis
