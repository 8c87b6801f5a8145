// From folders to the input of analysis/predictors.h: the labelled runs of every sweep in them, each with its
// signals over steps and the onset of its failure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evenkeel/analysis/predictors.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {

namespace fs = std::filesystem;

struct PredictorRuns {
  std::vector<Trajectory> runs;
  struct LeftOut {
    std::string why;
    int runs = 0;
  };
  std::vector<LeftOut> left_out;
  std::vector<std::string> damage;  ///< what could not be read, a sentence each (load.h)
};

/// Reads every folder (nested ones too). Runs without a label, or met before, are left out and counted.
PredictorRuns load_trajectories(const std::vector<fs::path>& folders);

/// Reads sharpness as `evenkeel probe` prints it: an object with "run", "step" and "sharpness"
/// {"eigenvalue", "ratio"}, or a list of them; docs/formats/predictors.md. Folders are made canonical, as
/// those of load_trajectories. Throws InputError.
std::vector<SharpnessPoint> read_sharpness(const fs::path& file);

}  // namespace evenkeel::analysis
