#include "evenkeel/optim/sgd.h"

namespace evenkeel::optim {

Sgd::Sgd(std::vector<nn::Param*> params, const OptimSpec& spec)
    : PlainRule(std::move(params), spec, {"momentum_buffer"}) {}

Change Sgd::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const at::Tensor& momentum = quantity(0, i);
  momentum.mul_(spec().momentum).add_(with_decay(gradient, params()[i]->value, decay_of(i)));
  return {momentum.mul(lr)};
}

}  // namespace evenkeel::optim
