// A checkpoint is everything a run needs to go on bit for bit: the folder checkpoints/step00000300/ of the
// run with model.safetensors, optim.safetensors, telemetry.safetensors (optional) and state.json. It appears
// whole or not at all (written beside, flushed to disk, renamed), and every file in it is covered by a
// content hash. docs/formats/run_directory.md lists the keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/runs/safetensors.h"

namespace evenkeel::runs {

/// Lengths in bytes of the line files when the checkpoint was made; a resumed run cuts them to this.
/// timing.jsonl differs between equal runs and is not cut.
struct LineOffsets {
  std::uint64_t metrics = 0, heads = 0, events = 0;
  bool operator==(const LineOffsets&) const = default;
};

struct CheckpointState {
  std::int64_t step = 0;                   ///< optimiser steps done
  std::int64_t cursor = 0;                 ///< training windows read
  std::string config_hash;                 ///< of the run it belongs to
  std::string rng_kind = "philox4x32-10";  ///< counter-based: a seed is its whole state
  std::int64_t seed = 0;
  Json schedule = Json::object();  ///< {"lr": ...}: learning rate of the last step, for people
  LineOffsets offsets;
  Json detectors = Json::object();  ///< {"spike": ..., "collapse": ...} (telemetry/detectors.h)
  Json trainer = Json::object();  ///< what else the trainer needs, such as sums for train_loss; numbers exact
};

/// Writes the checkpoint of state.step and returns its folder. Offsets must be of line files already synced.
/// Without `telemetry` tensors there is no file of them. Replaces a checkpoint of the same step; when the
/// process dies over that, restore_replaced() brings back the old one. Throws EnvironmentError; what was
/// there before is then still there.
fs::path write_checkpoint(const fs::path& run, const CheckpointState& state, std::vector<TensorBytes> model,
                          std::vector<TensorBytes> optim, std::vector<TensorBytes> telemetry = {});

/// Reads state.json and checks every hash. Throws InputError naming the file that does not check.
CheckpointState read_checkpoint_state(const fs::path& checkpoint);
/// The tensors of a checkpoint.
Safetensors read_model(const fs::path& checkpoint);
Safetensors read_optim(const fs::path& checkpoint);
/// nullopt when the checkpoint has none.
std::optional<Safetensors> read_telemetry(const fs::path& checkpoint);

struct FoundCheckpoint {
  fs::path folder;
  CheckpointState state;
};

/// The newest checkpoint that is whole; nullopt when there is none. Each newer one that is damaged adds a
/// sentence to `warnings`.
std::optional<FoundCheckpoint> find_latest_checkpoint(const fs::path& run,
                                                      std::vector<std::string>& warnings);

/// Gives a checkpoint its name back whose replacement never came. For the process that writes the run.
void restore_replaced(const fs::path& run);

/// Folders of all checkpoints, oldest first; damaged ones too.
std::vector<fs::path> list_checkpoints(const fs::path& run);

/// Deletes all but the `keep` newest checkpoints, and leftovers of a checkpoint that was being written when
/// the process died. `keep` < 1 counts as 1.
void prune_checkpoints(const fs::path& run, std::int64_t keep);

/// Deletes checkpoints of later steps than `step`: damaged ones, once a run goes on from an older one.
void discard_checkpoints_after(const fs::path& run, std::int64_t step);

}  // namespace evenkeel::runs
