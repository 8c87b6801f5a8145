// What `sweep` and `demo` share: plan, run with progress, then table, verdict and report.
#pragma once

#include <functional>
#include <optional>

#include "cli/evenkeel/terminal.h"
#include "evenkeel/sweep/scheduler.h"

namespace evenkeel::cli {

namespace fs = std::filesystem;

/// Opens data for sweep::make_plan and tells its facts. Throws InputError when it cannot be used.
sweep::OpenedData open_data(const DataSpec& spec, std::int64_t context);

struct SweepRequest {
  SweepSpec spec;
  fs::path out;
  int jobs = 0;  ///< 0: one single-threaded cell per usable core
  int retries = 1;
  std::optional<int>
      refine;  ///< rounds after the grid; nullopt: the study's, or what the folder was asked for before
  /// Of several processes that share the folder; count 0: this one is alone.
  struct Shard {
    int index = 0;  ///< from 0
    int count = 0;
    double lease_s = 60;  ///< one that has not been heard of for so long loses its cells
  } shard;
  bool json = false;
  std::function<void(sweep::Scheduler&, sweep::SweepFile&, Progress&)>
      on_tick;  ///< may drop cells; may be empty
  /// Asked before each round of refinement with the number of its cells: false ends the sweep there, having
  /// said why in the notes. May be empty.
  std::function<bool(std::size_t cells, int jobs, sweep::SweepFile&)> has_room;
  std::string last_words;  ///< printed at the end when all went well
};

/// Runs what is missing and prints what came out. Returns the exit code.
int run_sweep(const SweepRequest& request);

/// "qk_norm=off d64 lr 0.3 seed 1".
std::string cell_text(const sweep::CellEntry& cell);

}  // namespace evenkeel::cli
