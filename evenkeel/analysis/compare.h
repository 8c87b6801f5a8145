// One arm against the baseline at one size: where instability begins, what the treatment costs in loss and in
// time.
#pragma once

#include "evenkeel/analysis/analysis.h"

namespace evenkeel::analysis {

/// The interval of the boundary ratio combines the two intervals by Zou & Donner 2008 ("Construction of
/// confidence limits about effect measures"), in decades. Where one boundary lies outside the swept range the
/// value is a lower bound and `at_least` is set; where both do it is missing.
Comparison compare(const Curve& arm, const Curve& baseline, const Options& options);

}  // namespace evenkeel::analysis
