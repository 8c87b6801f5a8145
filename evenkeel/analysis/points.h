// The input of every analysis: one point per cell of a sweep, and the constants of the definitions. The words
// (cell, arm, size, l0, label) are those of docs/guide/definitions.md.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace evenkeel::analysis {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// One cell. Losses in nats per token; NaN where unknown or not finite.
struct CellPoint {
  std::string arm, size;
  std::int64_t params = -1;  ///< N, block matrices only; -1 unknown
  double lr = kUnknown;      ///< peak learning rate
  std::int64_t seed = 0;
  double loss = kUnknown;  ///< final validation loss
  std::string label;       ///< finished | not_learned | nonfinite | missing (planned, but it has not ended)
  double l0 = kUnknown;    ///< validation loss at initialisation
  std::int64_t steps = 0;  ///< optimiser steps of a whole run; 0 unknown
  double step_ms = kUnknown;  ///< median wall time of one step, ms
  /// Run to narrow a seed's bracket, after the grid: it moves brackets and nothing else.
  bool refined = false;
  bool relapsed = false;  ///< its loss rose again for the rest of the run
  /// RMS of the update over RMS of the weight: median over the tensors of a record, then over records.
  double effective_lr = kUnknown;
};

/// The constants of docs/guide/definitions.md; every report prints the ones it used.
struct Options {
  std::string baseline;  ///< arm that the others are compared with; "": none, unless there is one arm only
  double level = 0.95;   ///< of every interval
  double degraded_share = 0.07;  ///< degraded: loss > best + share (l0 - best)
  double window_low = 3e-4;      ///< the paper's window of learning rates, both ends included
  double window_high = 3e-1;
  double window_steps = 1e5;  ///< steps of the runs that window was made for
  double margin = 0.25;       ///< decades: "differs by less than" this, and nothing smaller, is said
};

}  // namespace evenkeel::analysis
