// A cell is one run seen from outside: what was set, and how it ended. It is the one view that listing and
// analysis have of a run, whether evenkeel trained it or it was imported from a foreign log.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/runs/manifest.h"

namespace evenkeel::runs {

struct Cell {
  fs::path run;
  std::string arm_hint;  ///< the arm's name where a sweep or an import gave one; "" lets analysis derive it
  std::string size;      ///< rung, such as d64
  std::int64_t params = -1;  ///< N, block matrices only; -1 unknown
  double lr = 0;             ///< peak learning rate; NaN unknown
  std::int64_t seed = -1;
  std::int64_t steps = 0;  ///< planned optimiser steps
  std::string config_hash;
  /// Resolved configuration, with "-" for paths of the data; empty for imports.
  Json config = Json::object();
  std::optional<Result> result;                             ///< nullopt: not ended
  double h1 = std::numeric_limits<double>::quiet_NaN();     ///< unigram entropy of the validation stream, nat
  double floor = std::numeric_limits<double>::quiet_NaN();  ///< known entropy rate, nat
  double l0 = std::numeric_limits<double>::quiet_NaN();     ///< validation loss at initialisation, nat
  /// What the line files come to, where a summary told (runs/summary.h); those were then not opened.
  struct Summed {
    std::optional<double> train_loss;  ///< the last one
    double effective_lr;
  };
  std::optional<Summed> summed;
  std::vector<std::string> damage;  ///< what is wrong with its line files, a sentence each (runs/verify.h)
};

/// Throws InputError when `run` holds no run or a damaged one.
Cell load_cell(const fs::path& run);

/// What the manifest alone says.
Cell cell_from_manifest(const fs::path& run);

/// Every run at or below `folder`, in order of path (runs/records.h, find_runs).
std::vector<Cell> load_cells(const fs::path& folder);

/// A run that was to be loaded: its cell, or in one sentence why there is none.
struct Loaded {
  std::optional<Cell> cell;
  std::string why;
};
/// load_cell of each, in order, on a few threads.
std::vector<Loaded> load_all(const std::vector<fs::path>& runs);

/// The same, with a sentence for each run that is damaged instead of an error.
struct Listing {
  std::vector<Cell> cells;
  std::vector<std::pair<fs::path, std::string>> damaged;
};
Listing list_cells(const fs::path& folder);
Listing list_cells(const std::vector<fs::path>& runs);

/// The arm of each cell, in order: its own name and the settings in which configs of that name differ
/// (spec/arm.h); "baseline" where there is nothing to go by.
std::vector<std::string> arms_of(const std::vector<Cell>& cells);

}  // namespace evenkeel::runs
