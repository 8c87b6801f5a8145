// One arm against the baseline at one size: where instability begins, and what the treatment costs in loss.
// What it costs in time is for `evenkeel bench` to say: wall clocks of a sweep are no measurement.
#pragma once

#include "evenkeel/analysis/analysis.h"

namespace evenkeel::analysis {

/// Differences are arm minus baseline, paired by seed.
Comparison compare(const Curve& arm, const Curve& baseline, const Options& options);

}  // namespace evenkeel::analysis
