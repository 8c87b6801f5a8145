#include "evenkeel/optim/lars.h"

#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

Lars::Lars(std::vector<nn::Param*> params, const OptimSpec& spec)
    : PlainRule(std::move(params), spec, {"momentum_buffer"}) {}

double Lars::trust_ratio(std::size_t i, const at::Tensor& gradient) const {
  const nn::Param& param = *params()[i];
  if (!is_trusted(i)) return 1;
  const double size = std::sqrt(ops::sum_squares(param.value));
  const double below = std::sqrt(ops::sum_squares(gradient)) + decay_of(i) * size;
  return size == 0 || below == 0 ? 1 : spec().trust_coefficient * size / below;
}

Change Lars::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const at::Tensor& momentum = quantity(0, i);
  const at::Tensor pull = with_decay(gradient, params()[i]->value, decay_of(i));
  return {momentum.mul_(spec().momentum).add_(pull.mul(lr * trust_ratio(i, gradient)))};
}

}  // namespace evenkeel::optim
