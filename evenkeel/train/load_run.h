// A trained model as a checkpoint of its run holds it, for reading: nothing is written to the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "evenkeel/models/model.h"
#include "evenkeel/runs/manifest.h"

namespace evenkeel::train {

struct LoadedRun {
  runs::Manifest manifest;
  std::filesystem::path checkpoint;  ///< its folder
  std::int64_t step = 0;             ///< optimiser steps done
  std::unique_ptr<models::Model> model;
};

/// From the checkpoint of `step`, or the newest whole one. Throws InputError when there is no such run or
/// checkpoint (naming those there are), when it is damaged, or when the run was imported as numbers only.
LoadedRun load_run(const std::filesystem::path& run, std::optional<std::int64_t> step);

}  // namespace evenkeel::train
