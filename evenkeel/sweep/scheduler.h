// Runs the cells of a sweep as trainer processes on this machine, one per cell, at most `jobs` at a time.
//
// A trainer that crashes (exit 4, a signal, no result) is started again up to `retries` times, from its last
// checkpoint; one crash stops nothing else. Exit 5 (disk full, no permission) stops new cells from starting,
// and so does exit 2 (wrong input) of the first trainer while nothing is done yet. SIGINT or SIGTERM to this
// process asks the trainers to save and stop; a second one kills them. State is kept in sweep.json and, first
// of all, in the cells' own result.json: a cell with a result never runs again. Changes in between go to a
// journal.
//
// Several of them, on one machine or on many, may run one sweep in one folder (shards): then a cell is leased
// before it is started (sweep/lease.h), each begins with its own share and goes on with what nobody has, and
// all stay until every cell has ended, to take over what one of them leaves behind.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "evenkeel/sweep/journal.h"
#include "evenkeel/sweep/lease.h"
#include "evenkeel/sweep/sweep_file.h"
#include "evenkeel/sweep/trainer_server.h"

namespace evenkeel::sweep {

struct SchedulerOptions {
  fs::path folder;  ///< of the sweep
  fs::path trainer;
  int jobs = 1;
  int retries = 1;
  double tick_s = 0.5;                ///< longest time between two calls of the observer
  Leases* leases = nullptr;           ///< of a shard; outlives the scheduler
  std::size_t shard = 0, shards = 1;  ///< which, from 0, of how many
};

/// A cell that is training right now.
struct Running {
  std::size_t cell = 0;  ///< index into the plan
  pid_t process = 0;
  std::uint64_t log_bytes = 0;     ///< length of its log when this attempt began
  int tries = 0;                   ///< attempts of this sweep, this one included
  bool lost = false;               ///< its lease went to another shard
  std::uint64_t timing_bytes = 0;  ///< length of timing.jsonl when this attempt began
  std::int64_t first_step = 0;     ///< last step reported before this attempt began
  std::int64_t step = 0;           ///< last one reported
  double tokens_per_s = 0;         ///< last one reported
  std::chrono::steady_clock::time_point started;
};

class Scheduler {
 public:
  /// `plan` and `file` list the same cells in the same order and outlive this.
  Scheduler(const Plan& plan, SweepFile& file, SchedulerOptions options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Called about every tick and after every change; may call drop().
  using Observer = std::function<void(Scheduler&)>;

  /// Runs until nothing is left; returns an exit code of base/error.h: finished, cells crashed, bad input,
  /// environment, interrupted. Throws EnvironmentError when the sweep itself cannot go on (its trainers are
  /// stopped first).
  int run(const Observer& observe);

  /// Takes a pending cell out of the plan of this run and of sweep.json; false when it has begun already.
  bool drop(std::size_t cell);

  const Plan& plan() const { return plan_; }
  const SweepFile& file() const { return file_; }
  const std::vector<Running>& running() const { return running_; }
  std::size_t count(CellState state) const;
  int jobs() const { return options_.jobs; }
  bool stopping() const { return stopping_; }
  /// The sentence of the trainer that ended the sweep early (exit 5, or 2 from the first one); "" when none
  /// did.
  const std::string& refusal() const { return refusal_; }
  double elapsed_s() const;
  /// Floating-point operations of training done since run() began, and those still to do.
  double done_flops() const;
  double left_flops() const;
  /// Cells that this run trained from their first step to the end, and their mean wall time.
  int whole_cells() const { return whole_cells_; }
  double whole_cell_s() const { return whole_cells_ > 0 ? whole_cells_s_ / whole_cells_ : 0; }

 private:
  CellEntry& entry(std::size_t cell) { return file_.cells[cell]; }
  /// What other shards ended, whatever this one thought of it.
  void look_at_results();
  /// sweep.json, with what other shards did.
  void save();
  void note(std::size_t cell) { journal_.add(entry(cell)); }
  /// Whether this process may start a pending cell; finds out too when it has ended elsewhere.
  bool claim(std::size_t cell);
  void let_go_of_lost();
  void start_next(TrainerServer& trainers);
  void reap();
  void settle(Running ended, const ExitStatus& status);
  void fail(const Running& ended, const std::string& message, bool may_retry);
  void read_progress();
  void stop_trainers(int signal);

  const Plan& plan_;
  SweepFile& file_;
  SchedulerOptions options_;
  std::vector<Running> running_;
  Journal journal_;
  std::vector<std::size_t> order_;  ///< in which cells are started
  std::vector<int> tries_;
  double finished_flops_ = 0;
  int whole_cells_ = 0;
  double whole_cells_s_ = 0;
  bool stopping_ = false;
  std::optional<std::size_t> first_;  // cell whose trainer started first
  int refused_ = 0;                   // exit code of what ended the sweep early
  std::string refusal_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace evenkeel::sweep
