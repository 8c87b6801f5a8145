#include "evenkeel/sweep/scheduler.h"

#include <fmt/format.h>

#include <unistd.h>
#include <algorithm>
#include <map>

#include <csignal>

#include "evenkeel/base/files.h"
#include "evenkeel/runs/run_writer.h"

namespace evenkeel::sweep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::uint64_t size_of(const fs::path& file) {
  std::error_code absent;
  const auto size = fs::file_size(file, absent);
  return absent ? 0 : size;
}

// The newest whole record of timing.jsonl; progress only, so its checksum does not matter.
Json newest_record(const fs::path& run, std::uint64_t from) {
  Json record = Json::parse(last_line(run / "timing.jsonl", from), nullptr, false);
  return record.is_object() ? record : Json::object();
}

/// Attempts that other shards counted.
void take_attempts(SweepFile& file, const SweepFile& there) {
  std::map<std::string, std::int64_t> attempts;
  for (const CellEntry& entry : there.cells) attempts[entry.hash] = entry.attempts;
  for (CellEntry& entry : file.cells) entry.attempts = std::max(entry.attempts, attempts[entry.hash]);
}

std::int64_t step_in(const Json& record) {
  const auto it = record.find("step");
  return it != record.end() && it->is_number_integer() ? it->get<std::int64_t>() : 0;
}

}  // namespace

Scheduler::Scheduler(const Plan& plan, SweepFile& file, SchedulerOptions options)
    : plan_(plan),
      file_(file),
      options_(std::move(options)),
      journal_(options_.folder, options_.leases ? options_.leases->owner() : "sweep"),
      tries_(plan.cells.size(), 0),
      begin_(Clock::now()) {
  for (std::size_t i = 0; i < plan.cells.size(); ++i) order_.push_back(i);
  std::stable_partition(order_.begin(), order_.end(),
                        [&](std::size_t i) { return i % options_.shards == options_.shard; });
}

// Only when run() threw: leave no trainer behind.
Scheduler::~Scheduler() {
  stop_trainers(SIGTERM);
  for (const Running& child : running_) {
    ExitStatus status;
    for (int wait = 0; wait < 1000 && !has_ended(child.process, status); ++wait) {
      if (wait == 900) send_signal(child.process, SIGKILL);
      ::usleep(10000);
    }
  }
}

double Scheduler::elapsed_s() const {
  return seconds_since(begin_);
}

std::size_t Scheduler::count(CellState state) const {
  return static_cast<std::size_t>(
      std::count_if(file_.cells.begin(), file_.cells.end(),
                    [&](const CellEntry& e) { return !e.dropped && e.state == state; }));
}

void Scheduler::save() {
  if (options_.leases) {
    if (const auto there = read_sweep_file(options_.folder)) take_attempts(file_, *there);
    look_at_results();
  }
  write_sweep_file(options_.folder, file_);
  journal_.clear();
  if (!options_.leases) remove_journals(options_.folder);
}

void Scheduler::look_at_results() {
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const CellState state = entry(i).state;
    if (state == CellState::kDone || state == CellState::kRunning || entry(i).dropped) continue;
    const fs::path run = cell_folder(options_.folder, plan_.cells[i].hash);
    if (!fs::exists(run / "result.json")) continue;
    try {
      entry(i).label = runs::read_result(run)->label;
      entry(i).state = CellState::kDone;
    } catch (const InputError&) {  // damaged: made anew by the next start
    }
  }
}

bool Scheduler::claim(std::size_t cell) {
  if (!options_.leases) return true;
  Leases& leases = *options_.leases;
  const std::string& hash = plan_.cells[cell].hash;
  const fs::path run = cell_folder(options_.folder, hash);
  const auto ended_elsewhere = [&] {
    if (!fs::exists(run / "result.json")) return false;
    const auto result = runs::read_result(run);
    entry(cell).state = CellState::kDone;
    entry(cell).label = result->label;
    return true;
  };
  if (ended_elsewhere()) return false;
  if (const auto why = leases.given_up(hash)) {
    entry(cell).state = CellState::kCrashed;
    entry(cell).message = *why;
    return false;
  }
  if (!leases.take(hash)) return false;
  // It may have ended between the two looks; and a trainer may outlive the shard that started it.
  if (!ended_elsewhere() && !runs::is_being_written(run)) return true;
  leases.release(hash);
  return false;
}

void Scheduler::let_go_of_lost() {
  if (!options_.leases) return;
  for (const std::string& hash : options_.leases->beat()) {
    for (Running& child : running_) {
      if (plan_.cells[child.cell].hash != hash) continue;
      child.lost = true;
      send_signal(child.process, SIGKILL);
    }
  }
}

bool Scheduler::drop(std::size_t cell) {
  if (entry(cell).state != CellState::kPending) return false;
  entry(cell).dropped = true;
  return true;
}

int Scheduler::run(const Observer& observe) {
  SignalGate gate;
  begin_ = Clock::now();
  TrainerServer trainers(options_.trainer, gate);
  if (count(CellState::kPending) > 0) trainers.load();
  int stops = 0;
  save();
  for (;;) {
    observe(*this);
    const bool loading = trainers.loading();
    while (!loading && !stopping_ && refused_ == 0 && static_cast<int>(running_.size()) < options_.jobs) {
      const std::size_t before = running_.size();
      start_next(trainers);
      if (running_.size() == before) break;
    }
    observe(*this);
    if (running_.empty() && (stopping_ || refused_ != 0 || count(CellState::kPending) == 0)) break;
    const int came = gate.wait(options_.tick_s, loading ? trainers.channel() : -1);
    if (came > 0) {
      stops += came;
      stopping_ = true;
      stop_trainers(stops > 1 ? SIGKILL : SIGTERM);
    }
    let_go_of_lost();
    read_progress();
    reap();
  }
  save();
  observe(*this);
  if (refused_ != 0) return refused_;
  if (stopping_ || count(CellState::kInterrupted) > 0) return kExitInterrupted;
  return count(CellState::kCrashed) > 0 ? kExitCellsCrashed : kExitFinished;
}

void Scheduler::start_next(TrainerServer& trainers) {
  for (const std::size_t i : order_) {
    if (entry(i).state != CellState::kPending || entry(i).dropped) continue;
    const Cell& cell = plan_.cells[i];
    const fs::path run = cell_folder(options_.folder, cell.hash);
    try {
      if (!claim(i)) continue;
      prepare_run(run, cell);
    } catch (const InputError& error) {
      entry(i).state = CellState::kCrashed;
      entry(i).message = error.what();
      note(i);
      if (options_.leases) options_.leases->release(cell.hash);
      continue;
    }
    Running child;
    child.cell = i;
    child.log_bytes = size_of(run / "log.txt");
    child.timing_bytes = size_of(run / "timing.jsonl");
    child.first_step = child.step = step_in(newest_record(run, 0));
    child.started = Clock::now();
    child.process = trainers.start(run, cell.experiment.train.threads);
    if (child.process == 0) return;
    child.tries = ++tries_[i];
    running_.push_back(child);
    if (!first_) first_ = i;
    entry(i).state = CellState::kRunning;
    ++entry(i).attempts;
    note(i);
    return;
  }
}

void Scheduler::read_progress() {
  for (Running& child : running_) {
    const fs::path run = cell_folder(options_.folder, plan_.cells[child.cell].hash);
    const Json record = newest_record(run, child.timing_bytes);
    child.step = std::max(child.step, step_in(record));
    const auto rate = record.find("tokens_per_s");
    if (rate != record.end() && rate->is_number()) child.tokens_per_s = rate->get<double>();
  }
}

void Scheduler::reap() {
  std::vector<std::pair<Running, ExitStatus>> ended;
  std::erase_if(running_, [&](const Running& child) {
    ExitStatus status;
    if (!has_ended(child.process, status)) return false;
    ended.emplace_back(child, status);
    return true;
  });
  for (const auto& [child, status] : ended) {
    settle(child, status);
    note(child.cell);
    if (!options_.leases) continue;
    const std::string& hash = plan_.cells[child.cell].hash;
    const CellEntry& now = entry(child.cell);
    // What this machine refuses another may take.
    if (now.state == CellState::kCrashed && refused_ == 0) options_.leases->give_up(hash, now.message);
    if (now.state != CellState::kPending) options_.leases->release(hash);
  }
}

void Scheduler::settle(Running ended, const ExitStatus& status) {
  const Cell& cell = plan_.cells[ended.cell];
  const fs::path run = cell_folder(options_.folder, cell.hash);
  if (ended.lost) {
    entry(ended.cell).state = CellState::kPending;
    return;
  }
  const double share = static_cast<double>(cell.experiment.train.steps - ended.first_step) /
                       static_cast<double>(cell.experiment.train.steps);
  if (!status.known || status.code == kExitFinished || status.code == kExitStopped) {
    std::optional<runs::Result> result;
    try {
      result = runs::read_result(run);
    } catch (const InputError& error) {
      return fail(ended, error.what(), true);
    }
    if (result) {
      entry(ended.cell).state = CellState::kDone;
      entry(ended.cell).label = result->label;
      entry(ended.cell).message = last_line(run / "log.txt", ended.log_bytes);
      finished_flops_ += train_flops(cell.experiment) * share;
      if (ended.first_step == 0) {
        ++whole_cells_;
        whole_cells_s_ += seconds_since(ended.started);
      }
      // What went wrong on the way stays in sweep.json: equal runs are equal files.
      fs::remove(run / "log.txt");
      return;
    }
    if (status.known)
      return fail(ended, fmt::format("the trainer ended with code {} but left no result.json", status.code),
                  true);
  }
  const std::string last = failure_sentence(status, run / "log.txt", ended.log_bytes);
  if (stopping_) {
    entry(ended.cell).state = CellState::kInterrupted;
    return;
  }
  // 126 and 127: the trainer cannot be executed, which no retry changes.
  if (status.code == kExitEnvironment || status.code == 126 || status.code == 127) {
    refused_ = kExitEnvironment;
    refusal_ = last;
    return fail(ended, last, false);
  }
  // What the first trainer refuses (a device that is not there), the others will refuse too.
  if (status.code == kExitBadInput && ended.cell == first_ && count(CellState::kDone) == 0) {
    refused_ = kExitBadInput;
    refusal_ = last;
  }
  if (status.code == kExitInterrupted) {
    // Somebody else asked this trainer to stop; its work is saved.
    const bool again = ended.tries <= options_.retries;
    entry(ended.cell).state = again ? CellState::kPending : CellState::kInterrupted;
    return;
  }
  fail(ended, last, status.code != kExitBadInput);
}

void Scheduler::fail(const Running& ended, const std::string& message, bool may_retry) {
  entry(ended.cell).message = message;
  entry(ended.cell).state =
      may_retry && ended.tries <= options_.retries ? CellState::kPending : CellState::kCrashed;
}

void Scheduler::stop_trainers(int signal) {
  for (const Running& child : running_) send_signal(child.process, signal);
}

double Scheduler::done_flops() const {
  double done = finished_flops_;
  for (const Running& child : running_) {
    const Experiment& e = plan_.cells[child.cell].experiment;
    done += train_flops(e) * static_cast<double>(child.step - child.first_step) /
            static_cast<double>(e.train.steps);
  }
  return done;
}

double Scheduler::left_flops() const {
  double left = 0;
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const CellState state = file_.cells[i].state;
    if (!file_.cells[i].dropped && (state == CellState::kPending || state == CellState::kRunning)) {
      left += train_flops(plan_.cells[i].experiment);
    }
  }
  for (const Running& child : running_) {
    const Experiment& e = plan_.cells[child.cell].experiment;
    left -= train_flops(e) * static_cast<double>(child.step) / static_cast<double>(e.train.steps);
  }
  return std::max(left, 0.0);
}

}  // namespace evenkeel::sweep
