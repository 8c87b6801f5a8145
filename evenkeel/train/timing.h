// What a run cost: written to timing.jsonl, which may differ between equal runs and decides nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "evenkeel/runs/run_writer.h"

namespace evenkeel::train {

/// Writes {"step", "wall_s", "tokens_per_s", "step_s"} about once a second: seconds since this session began,
/// and throughput and median step time since the last record, training steps only (evaluation and checkpoints
/// apart).
class StepTimer {
 public:
  StepTimer(runs::RunWriter& writer, std::int64_t tokens_per_step);
  /// Writes {"session": "start" | "resume" | "interrupted" | "end", ...} with what is known of the machine.
  void session(const std::string& what, std::int64_t step, const Json& environment = Json::object());
  void step_begins();
  void step_ends(std::int64_t step, bool last);

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::time_point a, Clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
  }

  runs::RunWriter& writer_;
  std::int64_t tokens_per_step_;
  Clock::time_point began_ = Clock::now(), step_began_, recorded_ = Clock::now();
  std::vector<double> steps_;
};

}  // namespace evenkeel::train
