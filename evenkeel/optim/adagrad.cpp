#include "evenkeel/optim/adagrad.h"

namespace evenkeel::optim {

Adagrad::Adagrad(std::vector<nn::Param*> params, const OptimSpec& spec)
    : PlainRule(std::move(params), spec, {"sum"}) {}

Change Adagrad::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const at::Tensor pull = with_decay(gradient, params()[i]->value, decay_of(i));
  quantity(0, i).add_(pull.square());
  const at::Tensor scale = preconditioner(i);
  return {pull.div(scale).masked_fill_(scale.eq(0), 0).mul_(lr)};
}

at::Tensor Adagrad::preconditioner(std::size_t i) const {
  if (steps() == 0) return {};
  return quantity(0, i).sqrt().add_(spec().eps);
}

}  // namespace evenkeel::optim
