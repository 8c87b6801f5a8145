// Where a run stands, from its files alone: for listings, and for looking at a run while it trains.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "evenkeel/runs/cell.h"

namespace evenkeel::runs {

struct Progress {
  std::string state;       ///< the label of an ended run, else "running" or "interrupted"
  std::int64_t step = 0;   ///< optimiser steps done
  std::int64_t steps = 0;  ///< planned; 0 unknown
  double loss =
      std::numeric_limits<double>::quiet_NaN();  ///< final validation loss; before the end the last one, nat
  double train_loss = std::numeric_limits<double>::quiet_NaN();  ///< the last one recorded, nat
};

Progress progress_of(const Cell& cell);

/// Settings in which the configs of `cells` differ, as "key=value" with the last part of each path, one list
/// per cell in the same order; learning rate, seed and shape are left out, they have columns of their own. A
/// run with a name for its arm gives that instead.
std::vector<std::string> settings_that_differ(const std::vector<Cell>& cells);

}  // namespace evenkeel::runs
