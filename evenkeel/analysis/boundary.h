// The boundary learning rate: where the probability that a cell is unstable is one half.
//
//   P(unstable | LR) = 1 / (1 + exp(-b (x - m))),  x = log10 LR,  b > 0,  boundary LR = 10^m
//
// fitted over all seeds of one arm and size. When stable and unstable cells separate perfectly the likelihood
// has no maximum; then it is penalised by half the log determinant of the Fisher information (Firth 1993,
// "Bias reduction of maximum likelihood estimates"; Heinze & Schemper 2002). The interval is the set of m
// that a (penalised) likelihood ratio test does not reject; it may be open on a side. A fit to n points costs
// about 10^4 n exponentials.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// One cell as the fit sees it.
struct Outcome {
  double lr = 0;
  bool unstable = false;
};

struct Boundary {
  enum class Kind {
    kNone,        ///< cannot be computed: `why`
    kFitted,      ///< value and interval, in units of LR
    kAboveRange,  ///< nothing is unstable: the boundary lies above `bound`, the largest LR
    kBelowRange,  ///< nothing is stable: the boundary lies below `bound`, the smallest LR
  };
  Kind kind = Kind::kNone;
  double value = 0;   ///< kFitted only
  Interval interval;  ///< whenever kind is not kNone; open on the censored side
  double bound = 0;
  bool extrapolated = false;  ///< fitted, but beyond the swept range
  bool penalised = false;     ///< stable and unstable cells separate: Firth's penalty was used
  std::string why;            ///< set unless fitted
};

/// `outcomes` in any order, LR > 0. Not fitted when instability does not become more likely with LR.
Boundary fit_boundary(const std::vector<Outcome>& outcomes, double level);

}  // namespace evenkeel::analysis
