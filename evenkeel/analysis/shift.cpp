#include "evenkeel/analysis/shift.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <functional>
#include <numeric>

namespace evenkeel::analysis {
namespace {

/// Share of 1 - level that a wrong "differs by less than the margin" may have: 2 % for both sides at 95 %.
constexpr double kStricter = 0.4;

/// Below this the tails of Student's t say more of the assumption than of the data.
constexpr double kSmallestP = 1e-3;

/// Ends of the arm's bracket less the baseline's, per common seed.
struct PairedEnds {
  std::vector<double> low, high;
  int later = 0, earlier = 0;
};

PairedEnds pair_up(const Boundary& arm, const Boundary& baseline) {
  // Two learning rates that are one differ by rounding when they came as text.
  constexpr double kRounding = 1e-9;
  PairedEnds ends;
  for (const Bracket& mine : arm.brackets) {
    for (const Bracket& theirs : baseline.brackets) {
      if (mine.seed != theirs.seed) continue;
      ends.low.push_back(mine.low - theirs.high);
      ends.high.push_back(mine.high - theirs.low);
      ends.later += ends.low.back() >= -kRounding;
      ends.earlier += ends.high.back() <= kRounding;
    }
  }
  return ends;
}

MeanBounds bounds_of(const Boundary& boundary, double level) {
  std::vector<double> low, high;
  for (const Bracket& b : boundary.brackets) {
    low.push_back(b.low);
    high.push_back(b.high);
  }
  return bounds_of_mean(low, high, level);
}

MeanBounds unpaired(const Boundary& arm, const Boundary& baseline, double level) {
  const MeanBounds a = bounds_of(arm, level), b = bounds_of(baseline, level);
  MeanBounds m;
  m.n = std::min(a.n, b.n);
  m.low = a.low - b.high;
  m.high = a.high - b.low;
  if (!m.bounded()) m.why = "the two boundaries lie outside the learning rates that were run";
  else if (!a.interval || !b.interval) m.why = a.interval ? b.why : a.why;
  else
    m.interval = Interval{m.low - std::hypot(a.end_error_low, b.end_error_high),
                          m.high + std::hypot(a.end_error_high, b.end_error_low)};
  return m;
}

/// P(X >= k) for X ~ Bin(n, 1/2).
double upper_tail(int n, int k) {
  if (k <= 0) return 1;
  return cdf(complement(boost::math::binomial(n, 0.5), k - 1));
}

/// 1 - the largest level whose interval excludes 0; 1 when none does.
double interval_p(const std::function<MeanBounds(double)>& at) {
  const auto excludes = [&](double level) {
    const MeanBounds m = at(level);
    return m.interval && (m.interval->low > 0 || m.interval->high < 0);
  };
  const MeanBounds m = at(0.5);
  if (!m.interval || (m.end_error_low == 0 && m.end_error_high == 0)) return 1;
  double no = std::log(kSmallestP), yes = std::log(0.5);  // by bisection of the logarithm of p
  if (!excludes(0.5)) return 1;
  if (excludes(1 - kSmallestP)) return kSmallestP;
  for (int i = 0; i < 40; ++i) {
    const double middle = 0.5 * (no + yes);
    (excludes(1 - std::exp(middle)) ? yes : no) = middle;
  }
  return std::exp(yes);
}

}  // namespace

const char* direction_name(Direction direction) {
  static constexpr const char* kNames[] = {"unknown", "up", "down", "none", "unresolved"};
  return kNames[static_cast<int>(direction)];
}

Shift shift_between(const Boundary& arm, const Boundary& baseline, double margin, double level) {
  Shift shift;
  for (const auto& [boundary, whose] : {std::pair{&arm, ""}, {&baseline, "baseline: "}}) {
    if (boundary->kind != Boundary::Kind::kNone) continue;
    shift.why = whose + boundary->why;
    return shift;
  }
  const PairedEnds ends = pair_up(arm, baseline);
  shift.seeds = static_cast<int>(ends.low.size());
  shift.later = ends.later;
  shift.earlier = ends.earlier;
  shift.paired = shift.seeds > 0;
  const auto at = [&](double l) {
    return shift.paired ? bounds_of_mean(ends.low, ends.high, l) : unpaired(arm, baseline, l);
  };
  const MeanBounds m = at(level);
  shift.low = m.low;
  shift.high = m.high;
  shift.interval = m.interval;
  shift.why = m.why;
  if (!m.bounded()) {
    shift.why = "both boundaries lie outside the learning rates that were run";
    return shift;
  }
  const double sign_p = upper_tail(shift.seeds, std::max(shift.later, shift.earlier));
  shift.p = std::min({1.0, 2 * sign_p, interval_p(at)});
  const bool sign = shift.paired && 2 * sign_p <= 1 - level;
  if ((sign && shift.later > shift.earlier) || (m.interval && m.interval->low > 0))
    shift.direction = Direction::kUp;
  else if ((sign && shift.earlier > shift.later) || (m.interval && m.interval->high < 0))
    shift.direction = Direction::kDown;
  else if (const auto strict = at(1 - kStricter * (1 - level)).interval;
           strict && strict->low > -margin && strict->high < margin)
    shift.direction = Direction::kNone;
  else shift.direction = Direction::kUnresolved;
  return shift;
}

std::vector<double> holm_adjusted(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(p.size() - i) * p[order[i]]));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

}  // namespace evenkeel::analysis
