// A trained model as a checkpoint of its run holds it, with its optimiser and its data, for reading: nothing
// is written to the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/data/source.h"
#include "evenkeel/models/model.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/manifest.h"

namespace evenkeel::train {

struct LoadedRun {
  runs::Manifest manifest;
  std::filesystem::path checkpoint;  ///< its folder
  std::int64_t step = 0;             ///< steps done; of several checkpoints the last one's
  std::int64_t updates = 0;          ///< updates among them: the others were skipped
  std::unique_ptr<models::Model> model;
  std::vector<std::string> warnings;  ///< sentences about newer checkpoints that are damaged
};

/// From the checkpoint of `step`, or the newest whole one. Throws InputError when there is no such run or
/// checkpoint (naming those there are), when it is damaged, or when the run was imported as numbers only.
///
/// With `average` > 1 every parameter is the mean over that checkpoint and the average - 1 before it (Vaswani
/// et al. 2017, arXiv 1706.03762, section 6.1); buffers are the last one's.
LoadedRun load_run(const std::filesystem::path& run, std::optional<std::int64_t> step,
                   std::int64_t average = 1);

/// Updates that the optimiser has made; checkpoints of earlier versions know no skipped steps.
std::int64_t updates_of(const runs::CheckpointState& state);

/// The optimiser as the same checkpoint holds it, over the parameters of `loaded.model`, which must outlive
/// it; epsilon is that of the last update. Throws InputError when the file is damaged.
std::unique_ptr<optim::Optimiser> load_optimiser(const LoadedRun& loaded);

/// The steps that a run holds checkpoints of, oldest first; damaged ones too.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& run);

/// The data that the run was made with. Throws InputError when it is missing or has changed since.
std::unique_ptr<data::Source> open_same_data(const Experiment& experiment, const std::filesystem::path& run);

}  // namespace evenkeel::train
