// What `sweep` and `demo` share: plan, run with progress, then table, verdict and report.
#pragma once

#include <functional>

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
  bool json = false;
  std::function<void(sweep::Plan&)> arrange;  ///< reorders cells before anything runs; may be empty
  std::function<void(sweep::Scheduler&, sweep::SweepFile&, Progress&)>
      on_tick;             ///< may drop cells; may be empty
  std::string last_words;  ///< printed at the end when all went well
};

/// Runs what is missing and prints what came out. Returns the exit code.
int run_sweep(const SweepRequest& request);

/// "qk_norm=off d64 lr 0.3 seed 1".
std::string cell_text(const sweep::CellEntry& cell);

}  // namespace evenkeel::cli
