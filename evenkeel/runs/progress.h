// Where a run stands, from its files alone: for listings, and for looking at a run while it trains.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evenkeel/runs/cell.h"

namespace evenkeel::runs {

struct Progress {
  std::string state;                 ///< the label of an ended run, else "running" or "interrupted"
  std::int64_t step = 0;             ///< optimiser steps done
  std::int64_t steps = 0;            ///< planned; 0 unknown
  std::optional<double> loss;        ///< final validation loss; before the end the last recorded one, nat
  std::optional<double> train_loss;  ///< the last one recorded, nat
};

Progress progress_of(const Cell& cell);

/// What a listing says of a run (docs/formats/json.md). null where nothing was recorded or said: NaN is a
/// loss that diverged.
Json summary_json(const Cell& cell, const Progress& progress);

}  // namespace evenkeel::runs
