// From a folder to the input of analysis: the cells of a sweep (sweep.json says which ones count and what
// their arms are called), or any folder of runs, whose arms are then named after the settings in which they
// differ.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/base/json.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/spec/sweep.h"

namespace evenkeel::analysis {

namespace fs = std::filesystem;

struct LoadedCell {
  CellPoint point;
  runs::Cell cell;     ///< as read; empty but for hash and folder when the run has not begun
  bool begun = false;  ///< the run directory is there
};

struct LoadedSweep {
  StudySpec study;                 ///< empty without sweep.json
  Json axes = Json::object();      ///< dotted path -> swept values; found from the runs without sweep.json
  std::vector<std::string> notes;  ///< what the sweep left out and why
  /// The arm that the others are compared with: the study's own, else the arm with the fewest settings that
  /// differ from their declared defaults, among equals the one the study lists first. "" when nothing tells:
  /// a table from elsewhere says no settings.
  std::string baseline;
  std::vector<LoadedCell> cells;
  /// What could not be read, a sentence each: runs, which count as missing, and lines, which are left out.
  std::vector<std::string> damage;
};

/// Reads the folder. Throws InputError when it holds no run that can be read, or a damaged sweep.json.
LoadedSweep load_sweep(const fs::path& folder);

/// Several folders as one sweep: arms are named anew, by the settings in which cells of all of them differ; a
/// run that is in two of them counts once. Throws as load_sweep, and when `folders` is empty.
LoadedSweep load_sweep(const std::vector<fs::path>& folders);

/// Every sweep at or below the folder, each apart: cells of different studies are no siblings. Runs that
/// belong to none of them are one more. Throws as load_sweep.
std::vector<LoadedSweep> load_sweeps(const fs::path& folder);

/// The numbers alone.
std::vector<CellPoint> points_of(const LoadedSweep& sweep);

/// analyze() of a sweep. Where `options` name no baseline the sweep's own is taken, and its study's margin.
Analysis analyze(const LoadedSweep& sweep, Options options = {});

}  // namespace evenkeel::analysis
