// The boundary learning rate of one arm: the mean over seeds of the learning rate at which a seed's training
// becomes unstable. x = log10 of the peak learning rate; "decades" are differences of x.
//
// A sweep shows a seed's threshold T_i only up to a bracket,
//
//   l_i < T_i <= u_i,   u_i = smallest unstable x,   l_i = largest x that was run below it,
//
// so the mean m = E[T_i] is known to lie in [A, B] = [mean l_i, mean u_i] however many seeds there are. Its
// interval (Imbens & Manski 2004, Stoye 2009, with Student's t) adds the spread of the ends over seeds,
//
//   [ A - C s_l / sqrt(n),  B + C s_u / sqrt(n) ],   T(C + sqrt(n) (B - A) / max(s_l, s_u)) - T(-C) = level,
//
// and is never narrower than the gap between the learning rates that were tried. The same rule bounds the
// shift between two arms (analysis/shift.h). Why this one, and how often it covers:
// docs/design/statistics.md.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// Where one seed's threshold lies, in log10 LR.
struct Bracket {
  std::int64_t seed = 0;
  double low = -std::numeric_limits<double>::infinity();  ///< -inf: unstable from the smallest LR on
  double high = std::numeric_limits<double>::infinity();  ///< +inf: never unstable
  /// Stable cells above `high`: instability that came and went. They do not move the bracket.
  int stable_above = 0;
  /// The smallest unstable x above the largest stable one: `high`, were those cells counted.
  double high_if_last = std::numeric_limits<double>::infinity();

  bool finite() const;
};

/// The mean of numbers of which each is only known to lie in [low_i, high_i].
struct MeanBounds {
  double low = 0, high = 0;          ///< [A, B]; infinite where an end of some number is
  std::optional<Interval> interval;  ///< of the mean; open where [A, B] is
  std::string why;                   ///< set when there is no interval
  int n = 0;
  double end_error_low = 0, end_error_high = 0;  ///< what the spread over seeds adds to either end
  double middle() const { return 0.5 * (low + high); }
  bool bounded() const;
};

/// The rule above. `low[i]` may be -inf and `high[i]` +inf; when both kinds occur nothing is bounded and
/// there is no interval. At n <= 4 the ends' standard deviations count at least h / sqrt(12), h the mean
/// finite width, because few numbers that share a bracket prove little. One number has no interval; without
/// any finite bracket the bare bound is an interval only from five numbers on.
MeanBounds bounds_of_mean(std::span<const double> low, std::span<const double> high, double level);

/// One cell as a bracket sees it.
struct Outcome {
  double lr = 0;
  bool unstable = false;
};

/// The bracket of one seed from its cells in any order; at least one, all with LR > 0.
Bracket bracket_of(std::int64_t seed, std::vector<Outcome> outcomes);

/// The boundary LR of an arm at one size. Learning rates, not decades, but for the brackets.
struct Boundary {
  enum class Kind {
    kNone,       ///< there is none: `why`
    kBracketed,  ///< between `low` and `high`
    kAtLeast,    ///< some seeds are never unstable: at least `low`; `high` is infinite
    kAtMost,     ///< some seeds are never stable: at most `high`; `low` is 0
  };
  Kind kind = Kind::kNone;
  double low = 0, high = 0;          ///< 10^A and 10^B
  std::optional<Interval> interval;  ///< `why` says why there is none
  std::vector<Bracket> brackets;     ///< by seed
  int blocked = 0;                   ///< seeds left out because a cell of theirs is missing
  int reentrant = 0;                 ///< seeds with stable cells above their bracket
  /// The interval when a seed's threshold is where it becomes unstable for good; set when reentrant > 0.
  std::optional<Interval> interval_if_last;
  std::string why;

  double middle() const;  ///< of [A, B], as a learning rate; kBracketed only
  double width() const;   ///< mean width of the finite brackets in decades; NaN without any
};

/// From the brackets of at least one seed.
Boundary boundary_of(std::vector<Bracket> brackets, double level);

}  // namespace evenkeel::analysis
