// Writing a run directory, as the trainer does it:
//
//   RunLock lock(run);                                   // no other trainer writes this run
//   switch (standing(run, hash)) {...}                   // finished: nothing to do; in progress: resume
//   RunWriter writer = RunWriter::start(lock, manifest)  // or RunWriter::resume(lock, checkpoint.state)
//   writer.metrics(record); ...
//   writer.sync(); state.offsets = writer.offsets(); write_checkpoint(run, state, ...);
//   writer.finish(result);
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/telemetry/sinks/jsonl.h"

namespace evenkeel::runs {

/// The right to write one run directory, held until destruction or the end of the process. Makes the folder.
class RunLock {
 public:
  /// Throws EnvironmentError when another process writes this run or the folder cannot be written to.
  explicit RunLock(const fs::path& run);
  const fs::path& run() const { return run_; }

 private:
  fs::path run_;
  FileLock lock_;
};

/// True while a trainer holds the RunLock of `run`.
bool is_being_written(const fs::path& run);

enum class Standing {
  kAbsent,      ///< no manifest yet
  kInProgress,  ///< started, no result
  kFinished,    ///< result.json is there
};
/// What `run` holds. Throws InputError when it is a run of another configuration than `config_hash`, or an
/// imported one.
Standing standing(const fs::path& run, const std::string& config_hash);

/// The newest whole checkpoint that the run can go on from: the line files must be whole before the bytes
/// where it goes on. nullopt when there is no whole checkpoint; each newer one that is passed over adds a
/// sentence to `warnings`. Throws InputError when there are whole ones, but none before the damage.
std::optional<FoundCheckpoint> find_resumable(const RunLock& lock, std::vector<std::string>& warnings);

class RunWriter {
 public:
  /// Starts the run anew: line files empty, no checkpoints, manifest written. What an earlier attempt of the
  /// same configuration left is replaced. Throws InputError when the folder holds a finished run or one of
  /// another configuration, EnvironmentError when the disk refuses.
  static RunWriter start(const RunLock& lock, const Manifest& manifest);

  /// Goes on from a checkpoint: cuts the line files to its offsets and deletes later (damaged) checkpoints.
  /// timing.jsonl keeps its valid lines. Throws InputError when a line file is shorter than its offset or
  /// damaged before it.
  static RunWriter resume(const RunLock& lock, const CheckpointState& state);

  /// One record for metrics.jsonl, heads.jsonl, events.jsonl, timing.jsonl.
  void metrics(const Json& record) { metrics_->write(record); }
  void heads(const Json& record) { heads_->write(record); }
  void event(const Json& record) { events_->write(record); }
  void timing(const Json& record) { timing_->write(record); }

  /// Lengths of the line files now.
  LineOffsets offsets() const;
  /// Flushes the line files to disk; call before a checkpoint names their lengths.
  void sync();

  /// Syncs, fills `result`'s digest and writes result.json: the run has ended.
  void finish(Result result);

  const fs::path& run() const { return run_; }

 private:
  RunWriter(const fs::path& run, const LineOffsets& keep, std::uint64_t keep_timing);

  fs::path run_;
  std::unique_ptr<telemetry::JsonlSink> metrics_, heads_, events_, timing_;
};

}  // namespace evenkeel::runs
