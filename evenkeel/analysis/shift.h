// How far one arm's boundary lies from another's, in decades: the arm's threshold less the baseline's, paired
// by seed. Arms share initialisation seeds and data order, so a seed's two brackets bound its own shift,
//
//   l2_i - u1_i <= T2_i - T1_i <= u2_i - l1_i,
//
// and the mean of these follows the rule of analysis/boundary.h.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/analysis/boundary.h"

namespace evenkeel::analysis {

/// What may be said of a shift. No null is ever said from a point estimate.
enum class Direction {
  kNotKnown,    ///< there is no shift to speak of
  kUp,          ///< the sign test or the interval says so
  kDown,        ///< likewise
  kNone,        ///< the interval, a stricter one of 98 %, lies inside (-margin, margin)
  kUnresolved,  ///< none of these
};
const char* direction_name(Direction direction);

struct Shift {
  Direction direction = Direction::kNotKnown;
  double low = 0, high = 0;          ///< [A, B]; one end may be infinite: "at least", "at most"
  std::optional<Interval> interval;  ///< `why` says why there is none
  bool paired = true;                ///< false: no common seeds, so the two intervals were combined
  int seeds = 0;                     ///< common seeds
  int later = 0;                     ///< of them surely later: l2 >= u1
  int earlier = 0;                   ///< surely earlier: l1 >= u2; the rest is undecided
  double p = 1;                      ///< two-sided, at least 0.001 from the interval; see shift_between
  std::string why;                   ///< set when there is no value or no interval

  bool known() const { return direction != Direction::kNotKnown; }
  double middle() const { return 0.5 * (low + high); }
};

/// The shift from `baseline` to `arm`, `margin` decades being the smallest one of interest.
///
/// Direction: with r of n common seeds surely later, "up" when P(X >= r) <= (1 - level) / 2 for X ~ Bin(n,
/// 1/2), or when the interval lies above 0; undecided seeds count against. `p` is the smaller one of 2 P(X >=
/// max(r, q)) and of the level at which the interval would touch 0 (not looked at where seeds do not differ,
/// since such an interval is the same at every level).
Shift shift_between(const Boundary& arm, const Boundary& baseline, double margin, double level);

/// Holm 1979: of several p-values the adjusted ones; in order of the input.
std::vector<double> holm_adjusted(const std::vector<double>& p);

}  // namespace evenkeel::analysis
