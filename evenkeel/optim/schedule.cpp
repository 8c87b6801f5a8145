#include "evenkeel/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace evenkeel::optim {

Schedule::Schedule(double peak, double floor, std::int64_t warmup, std::int64_t steps)
    : peak_(peak),
      floor_(std::min(floor, peak)),
      warmup_(static_cast<double>(warmup)),
      steps_(static_cast<double>(steps)) {}

Schedule::Schedule(const Experiment& experiment)
    : Schedule(experiment.optim.lr, experiment.optim.lr_floor,
               experiment.optim.warmup->steps(experiment.train.steps,
                                              experiment.train.tokens_per_step(experiment.arch.context)),
               experiment.train.steps) {}

double Schedule::at(double x) const {
  if (x < warmup_) return peak_ * x / warmup_;
  if (steps_ <= warmup_) return peak_;
  const double progress = std::min(1.0, (x - warmup_) / (steps_ - warmup_));
  return floor_ + (peak_ - floor_) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

double Schedule::rate(std::int64_t n) const {
  const double x = static_cast<double>(n);
  return at(x <= warmup_ ? x : x - 1);
}

}  // namespace evenkeel::optim
