#include "evenkeel/optim/stable_adamw.h"

#include <algorithm>
#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

Change StableAdamW::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const Corrected now = moments(i, gradient);
  const at::Tensor expected = now.square.sqrt().clamp_min(spec().eps);
  const double excess = ops::rms(gradient.div(expected).masked_fill_(expected.eq(0), 0)),
               slower = std::max(1.0, excess);
  return {adam_direction(now).mul_(lr / slower), decay_of(i) / slower};
}

}  // namespace evenkeel::optim
