// Trains what a run directory's manifest says, from the start or from the newest whole checkpoint.
//
// One step: batch -> loss (cross-entropy + z-loss) -> gradients -> clip -> optimiser; records go to the run's
// line files (docs/formats/run_directory.md). Everything that decides the numbers comes from the manifest and
// from counter-based random numbers, so a resumed run equals an uninterrupted one byte for byte.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace evenkeel::train {

enum class Outcome {
  kFinished,
  kNonfinite,    ///< loss or gradient norm not finite: stopped, labelled, exit code 3
  kInterrupted,  ///< asked to stop: checkpoint written, run again to go on, exit code 75
};

struct Options {
  /// Asked after every step; true saves and stops.
  std::function<bool()> stop_requested = [] { return false; };
  /// Gets sentences worth showing, such as a damaged checkpoint that was passed over.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

/// Trains until the end. A run that has ended already is left as it is and its outcome returned.
/// Throws InputError (no run, damaged manifest, data missing or changed) and EnvironmentError (disk,
/// permission, another trainer on the same run).
Outcome run(const std::filesystem::path& run_directory, const Options& options);

/// Begins the run with the plain weights of a safetensors file (train/weights_file.h) instead of drawn ones,
/// as a checkpoint of step 0; run() goes on from there. The event "weights_imported" holds the file's content
/// hash. Throws InputError also when the run has begun already.
void begin_with_weights(const std::filesystem::path& run_directory, const std::filesystem::path& file,
                        const Options& options);

}  // namespace evenkeel::train
