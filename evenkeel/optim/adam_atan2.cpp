#include "evenkeel/optim/adam_atan2.h"

#include "evenkeel/ops/atan2.h"

namespace evenkeel::optim {

Change AdamAtan2::change(std::size_t i, const at::Tensor& gradient, double lr) {
  constexpr double kFactor = 1.27;
  const Corrected now = moments(i, gradient);
  return {ops::atan2(now.mean, now.square.sqrt()).mul_(lr * kFactor), decay_of(i)};
}

}  // namespace evenkeel::optim
