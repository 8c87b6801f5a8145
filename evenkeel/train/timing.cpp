#include "evenkeel/train/timing.h"

#include <algorithm>
#include <numeric>

namespace evenkeel::train {

StepTimer::StepTimer(runs::RunWriter& writer, std::int64_t tokens_per_step)
    : writer_(writer), tokens_per_step_(tokens_per_step) {}

void StepTimer::session(const std::string& what, std::int64_t step, const Json& environment) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json record{{"session", what},
              {"step", step},
              {"unix_s", std::chrono::duration<double>(now).count()},
              {"wall_s", seconds(began_, Clock::now())}};
  if (!environment.empty()) record["environment"] = environment;
  writer_.timing(record);
}

void StepTimer::step_begins() {
  step_began_ = Clock::now();
}

void StepTimer::step_ends(std::int64_t step, bool last) {
  const auto now = Clock::now();
  steps_.push_back(seconds(step_began_, now));
  if (!last && seconds(recorded_, now) < 0.5) return;
  const double total = std::accumulate(steps_.begin(), steps_.end(), 0.0);
  const auto tokens = static_cast<double>(tokens_per_step_) * static_cast<double>(steps_.size());
  const auto middle = steps_.begin() + static_cast<std::ptrdiff_t>(steps_.size() / 2);
  std::nth_element(steps_.begin(), middle, steps_.end());
  writer_.timing({{"step", step},
                  {"wall_s", seconds(began_, now)},
                  {"tokens_per_s", tokens / total},
                  {"step_s", *middle}});
  steps_.clear();
  recorded_ = now;
}

}  // namespace evenkeel::train
