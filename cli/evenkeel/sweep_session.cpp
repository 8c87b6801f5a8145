#include "cli/evenkeel/sweep_session.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "cli/evenkeel/sweep_outcome.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/analysis/refine.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/data/source.h"
#include "evenkeel/report/report.h"

namespace evenkeel::cli {
namespace {

using sweep::CellEntry;
using sweep::CellState;
using sweep::Running;
using sweep::Scheduler;
using sweep::SweepFile;

int default_jobs(const sweep::Plan& plan) {
  std::int64_t threads = 1;
  for (const sweep::Cell& cell : plan.cells) {
    // Cells on one accelerator would fight for it.
    if (cell.experiment.train.device == Device::kCuda) return 1;
    threads = std::max(threads, cell.experiment.train.threads);
  }
  return std::max(1, static_cast<int>(sweep::usable_cores() / threads));
}

void refuse_run_folder(const fs::path& out) {
  if (fs::exists(out / "manifest.json")) {
    throw InputError(fmt::format("{} holds a single run, not a sweep; choose another --out", out.string()));
  }
}

void tell_changes(const fs::path& out, const SweepFile& file, const std::optional<SweepFile>& before,
                  Progress& progress) {
  const auto old = sweep::strangers(out, file);
  if (!old.empty()) {
    progress.say(
        fmt::format("{} cell{} in {} {} not part of this study any more: kept, not used ({}{})", old.size(),
                    old.size() == 1 ? "" : "s", (out / "cells").string(), old.size() == 1 ? "is" : "are",
                    fmt::join(old.begin(), old.begin() + std::min<std::ptrdiff_t>(4, std::ssize(old)), ", "),
                    old.size() > 4 ? ", ..." : ""));
  }
  if (!before) return;
  const auto added = std::count_if(file.cells.begin(), file.cells.end(), [&](const CellEntry& cell) {
    return std::none_of(before->cells.begin(), before->cells.end(),
                        [&](const CellEntry& e) { return e.hash == cell.hash; });
  });
  if (added > 0)
    progress.say(
        fmt::format("{} cell{} new since the last run of this sweep", added, added == 1 ? " is" : "s are"));
}

void tell_epochs(const sweep::Plan& plan, Progress& progress) {
  double most = 0;
  for (const sweep::Cell& cell : plan.cells) {
    const TrainSpec& train = cell.experiment.train;
    if (cell.data.train_tokens <= 0) continue;
    most = std::max(most, static_cast<double>(train.steps * cell.experiment.tokens_per_step()) /
                              static_cast<double>(cell.data.train_tokens));
  }
  if (most > 1) {
    progress.say(fmt::format(
        "note: cells read their training text up to {:.2g} times; a verdict should rest on text read "
        "at most once",
        most));
  }
}

// Tells, once each, of trainers that failed.
class FailureTeller {
 public:
  void tell(const Scheduler& scheduler, const fs::path& out, Progress& progress) {
    told_.resize(scheduler.file().cells.size(), -1);  // a round of refinement adds cells
    for (std::size_t i = 0; i < told_.size(); ++i) {
      const CellEntry& cell = scheduler.file().cells[i];
      if (cell.message.empty() || told_[i] == cell.attempts) continue;
      told_[i] = cell.attempts;
      if (cell.message == scheduler.refusal()) continue;  // said in the end
      const fs::path log = sweep::cell_folder(out, cell.hash) / "log.txt";
      progress.say(fmt::format("{}: {}{}{}", cell_text(cell), cell.message,
                               cell.state == CellState::kPending ? "; trying again" : "",
                               fs::exists(log) ? fmt::format(" (log: {})", log.string()) : ""));
    }
  }

 private:
  std::vector<std::int64_t> told_;
};

void show_progress(const Scheduler& scheduler, Progress& progress) {
  const std::size_t done = scheduler.count(CellState::kDone), crashed = scheduler.count(CellState::kCrashed);
  double rate = 0;
  for (const Running& child : scheduler.running()) rate += child.tokens_per_s;
  std::string head = fmt::format("cells: {} done, {} running, {} left", done, scheduler.running().size(),
                                 scheduler.count(CellState::kPending));
  if (crashed > 0) head += fmt::format(", {} crashed", crashed);
  if (scheduler.stopping()) {
    head += "; stopping: waiting for checkpoints (again to stop at once)";
  } else {
    if (rate > 0) head += fmt::format("; {} tokens/s", count_text(rate));
    const double worked = scheduler.done_flops(), left = scheduler.left_flops();
    // Before that, what trainers need to start would be taken for training time.
    const bool measured = worked > 0.05 * sweep::train_flops(scheduler.plan().cells.front().experiment);
    if (measured && left > 0)
      head += fmt::format("; {} left", duration_text(left / worked * scheduler.elapsed_s()));
  }
  std::vector<std::string> lines{head};
  std::size_t arm = 0;
  for (const Running& child : scheduler.running())
    arm = std::max(arm, scheduler.file().cells[child.cell].arm.size());
  for (const Running& child : scheduler.running()) {
    const CellEntry& cell = scheduler.file().cells[child.cell];
    const auto steps = scheduler.plan().cells[child.cell].experiment.train.steps;
    lines.push_back(fmt::format(
        "  {:<{}}  {}  lr {:<6} seed {}  {} {}/{}{}", cell.arm, arm, cell.size, cell.lr, cell.seed,
        bar_text(static_cast<double>(child.step) / static_cast<double>(steps), 10), child.step, steps,
        child.tokens_per_s > 0 ? "  " + count_text(child.tokens_per_s) + " tokens/s" : ""));
  }
  progress.show(lines, head);
}

}  // namespace

std::string cell_text(const CellEntry& cell) {
  return fmt::format("{} {} lr {} seed {}", cell.arm, cell.size, cell.lr, cell.seed);
}

sweep::OpenedData open_data(const DataSpec& spec, std::int64_t context) {
  const auto source = data::open_source(spec, context);
  const data::Facts& facts = source->facts();
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  return {data::facts_for_resolve(*source, spec),
          {facts.name, facts.unigram_entropy, facts.bigram_entropy.value_or(kUnknown),
           facts.floor.value_or(kUnknown), facts.train_tokens}};
}

namespace {

/// The cell of the grid that a run beside it is like.
const sweep::Cell* grid_cell(const sweep::Plan& plan, const std::string& arm, const std::string& size,
                             std::int64_t seed) {
  const auto it = std::find_if(plan.cells.begin(), plan.cells.end(), [&](const sweep::Cell& cell) {
    return cell.round == 0 && cell.arm == arm && cell.experiment.arch.size.value_or("") == size &&
           cell.experiment.train.seed == seed;
  });
  return it == plan.cells.end() ? nullptr : &*it;
}

bool is_planned(const sweep::Plan& plan, const std::string& hash) {
  return std::any_of(plan.cells.begin(), plan.cells.end(),
                     [&](const sweep::Cell& cell) { return cell.hash == hash; });
}

/// Adds the runs that an earlier start of this sweep added to its grid: they are part of its answer.
void keep_refinements(sweep::Plan& plan, const std::optional<SweepFile>& before, std::int64_t rounds) {
  if (!before) return;
  for (const CellEntry& entry : before->cells) {
    if (entry.round == 0 || entry.round > rounds || is_planned(plan, entry.hash)) continue;
    const sweep::Cell* like = grid_cell(plan, entry.arm, entry.size, entry.seed);
    if (!like) continue;
    sweep::Cell cell = sweep::cell_at(*like, entry.lr, entry.round);
    if (cell.hash == entry.hash) plan.cells.push_back(std::move(cell));
  }
}

/// One more cell for every seed that has had fewer than `rounds`, where its bracket can be narrowed.
std::vector<sweep::Cell> refinement(const sweep::Plan& plan, const fs::path& out, std::int64_t rounds) {
  std::vector<sweep::Cell> cells;
  for (const analysis::NextRun& next : analysis::next_runs(analysis::analyze(analysis::load_sweep(out)))) {
    const sweep::Cell* like = grid_cell(plan, next.arm, next.size, next.seed);
    if (!like) continue;
    const auto had = std::count_if(plan.cells.begin(), plan.cells.end(), [&](const sweep::Cell& cell) {
      return cell.round > 0 && cell.arm == next.arm && cell.experiment.train.seed == next.seed &&
             cell.experiment.arch.size == like->experiment.arch.size;
    });
    if (had >= rounds) continue;
    sweep::Cell cell = sweep::cell_at(*like, next.lr, static_cast<int>(had) + 1);
    if (!is_planned(plan, cell.hash)) cells.push_back(std::move(cell));
  }
  return cells;
}

/// Rounds that this start of the sweep is asked for.
std::int64_t rounds_of(const SweepRequest& request, const std::optional<SweepFile>& before) {
  if (request.refine) return *request.refine;
  return std::max(request.spec.study.refine, before ? before->study.refine : 0);
}

/// A name that no other shard has, on whatever machine.
std::string shard_owner() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::string name = fmt::format("{}-{}-{:x}", host.data(), ::getpid(),
                                 std::chrono::system_clock::now().time_since_epoch().count());
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

}  // namespace

int run_sweep(const SweepRequest& request) {
  const fs::path& out = request.out;
  const fs::path trainer = sweep::find_trainer();
  sweep::Plan plan = sweep::make_plan(request.spec, open_data, machine_has_fast_bf16());
  refuse_run_folder(out);
  report::refuse_foreign(out / "report.html");
  make_folder(out);
  const bool sharded = request.shard.count > 0;
  const FileLock lock(out / ".lock",
                      "another evenkeel is running in " + out.string() + (sharded ? " without --shard" : ""),
                      sharded);
  std::optional<sweep::Leases> leases;
  if (!sharded) sweep::remove_leases(out);  // of shards that were killed
  else leases.emplace(out, shard_owner(), request.shard.lease_s);
  const std::optional<SweepFile> before = sweep::read_sweep_file(out);
  const std::int64_t rounds = plan.study.refine = rounds_of(request, before);
  keep_refinements(plan, before, rounds);
  SweepFile file = sweep::start_sweep_file(plan, out, before);

  Progress progress;
  const int jobs = request.jobs > 0 ? request.jobs : default_jobs(plan);
  const auto done = std::count_if(file.cells.begin(), file.cells.end(),
                                  [](const CellEntry& cell) { return cell.state == CellState::kDone; });
  progress.say(fmt::format(
      "{} cells, {} done before, {} to run{}, {} at a time{}; folder {}", file.cells.size(), done,
      std::ssize(file.cells) - done,
      sharded ? fmt::format(" with others, shard {} of {}", request.shard.index + 1, request.shard.count)
              : "",
      jobs, rounds > 0 ? fmt::format(", then {} round{} of refinement", rounds, rounds == 1 ? "" : "s") : "",
      out.string()));
  tell_changes(out, file, before, progress);
  tell_epochs(plan, progress);
  if (sharded && rounds > 0)
    progress.say(
        "note: shards run the grid alone; the same command without --shard then narrows the brackets");
  FailureTeller failures;
  for (;;) {
    sweep::SchedulerOptions options{out, trainer, jobs, request.retries};
    if (leases) {
      options.leases = &*leases;
      options.shard = static_cast<std::size_t>(request.shard.index);
      options.shards = static_cast<std::size_t>(request.shard.count);
    }
    Scheduler scheduler(plan, file, options);
    const int exit_code = scheduler.run([&](Scheduler& now) {
      if (request.on_tick) request.on_tick(now, file, progress);
      failures.tell(now, out, progress);
      show_progress(now, progress);
    });
    progress.clear();
    const bool ended = exit_code == kExitFinished || exit_code == kExitCellsCrashed;
    std::vector<sweep::Cell> next;
    // Shards would each see another part of a round: it needs one process that sees all.
    if (ended && rounds > 0 && !sharded) next = refinement(plan, out, rounds);
    if (next.empty() || (request.has_room && !request.has_room(next.size(), jobs, file))) {
      if (!sharded) sweep::write_sweep_file(out, file);  // with its last notes; the scheduler wrote the rest
      return tell_outcome(request, file, scheduler.refusal(), exit_code);
    }
    progress.say(fmt::format("round {} of {}: {} cell{} to narrow the brackets of the boundary LR",
                             next.front().round, rounds, next.size(), next.size() == 1 ? "" : "s"));
    for (sweep::Cell& cell : next) {
      sweep::add_entry(file, cell, out);
      plan.cells.push_back(std::move(cell));
    }
  }
}

}  // namespace evenkeel::cli
