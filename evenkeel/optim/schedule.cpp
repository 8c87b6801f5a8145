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
               experiment.optim.warmup->steps(experiment.train.steps, experiment.tokens_per_step()),
               experiment.train.steps) {
  const std::int64_t steps = experiment.train.steps, tokens = experiment.tokens_per_step();
  kind_ = experiment.optim.schedule;
  drop_at_ = static_cast<double>(experiment.optim.step_at.steps(steps, tokens));
  drop_ = experiment.optim.step_factor;
  cooldown_ = static_cast<double>(std::min(experiment.optim.cooldown.steps(steps, tokens), steps));
  changes_ = changes_of(experiment);
}

double Schedule::after_warmup(double x) const {
  switch (kind_) {
    case ScheduleKind::kConstant:
      return peak_;
    case ScheduleKind::kStep:
      return x < drop_at_ ? peak_ : peak_ * drop_;
    case ScheduleKind::kInverseSqrt: {
      const double from = std::max(warmup_, 1.0);
      return peak_ * std::sqrt(from / std::max(x, from));
    }
    case ScheduleKind::kWsd:
    case ScheduleKind::kWsdSqrt: {
      const double from = std::max(warmup_, steps_ - cooldown_);
      if (x <= from || steps_ <= from) return peak_;
      const double done = std::min(1.0, (x - from) / (steps_ - from));
      return floor_ + (peak_ - floor_) * (1 - (kind_ == ScheduleKind::kWsd ? done : std::sqrt(done)));
    }
    default:
      break;
  }
  if (steps_ <= warmup_) return peak_;
  const double progress = std::min(1.0, (x - warmup_) / (steps_ - warmup_)), left = 1 - progress;
  if (kind_ == ScheduleKind::kLinear) return floor_ + (peak_ - floor_) * left;
  if (kind_ == ScheduleKind::kPolynomial) return floor_ + (peak_ - floor_) * left * left;
  return floor_ + (peak_ - floor_) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

double Schedule::at(double x) const {
  return x < warmup_ ? peak_ * x / warmup_ : after_warmup(x);
}

double Schedule::rate(std::int64_t n) const {
  const double x = static_cast<double>(n);
  const ChangeSpec change = changes_.at(n);
  if (change.end_warmup && x < warmup_) return peak_ * change.lr_factor;
  return at(x <= warmup_ ? x : x - 1) * change.lr_factor;
}

}  // namespace evenkeel::optim
