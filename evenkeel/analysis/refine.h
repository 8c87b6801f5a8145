// Where to run next so that the boundary LR is known better: resolution is bought where it counts, one run
// per seed and round instead of a finer grid for all.
//
//   finite bracket (l, u]:   x = (l + u) / 2
//   never unstable so far:   the largest LR tried, times the grid's last ratio
//   never stable so far:     the smallest LR tried, over the grid's first ratio
//
// What "unstable" means was frozen by the grid (analysis/analysis.h), so a round cannot change the answers of
// the one before it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evenkeel/analysis/analysis.h"

namespace evenkeel::analysis {

struct NextRun {
  std::string arm, size;
  std::int64_t seed = 0;
  double lr = 0;  ///< four significant digits
};

/// One run per seed of every curve with brackets, by curve and seed; none for arms without a boundary.
std::vector<NextRun> next_runs(const Analysis& analysis);

}  // namespace evenkeel::analysis
