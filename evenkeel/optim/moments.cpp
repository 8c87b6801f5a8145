#include "evenkeel/optim/moments.h"

#include <cmath>

namespace evenkeel::optim {
namespace {

enum Moment : std::size_t { kFirst, kSecond };

}  // namespace

MomentRule::MomentRule(std::vector<nn::Param*> params, const OptimSpec& spec)
    : PlainRule(std::move(params), spec, {"exp_avg", "exp_avg_sq"}) {}

MomentRule::Corrected MomentRule::moments(std::size_t i, const at::Tensor& gradient) {
  const auto t = static_cast<double>(steps());
  const at::Tensor &mean = quantity(kFirst, i), &square = quantity(kSecond, i);
  mean.mul_(spec().beta1).add_(gradient.mul(1 - spec().beta1));
  square.mul_(spec().beta2).add_(gradient.square().mul_(1 - spec().beta2));
  return {mean.div(1 - std::pow(spec().beta1, t)), square.div(1 - std::pow(spec().beta2, t))};
}

at::Tensor MomentRule::adam_direction(const Corrected& moments) const {
  const at::Tensor scale = moments.square.sqrt().add_(spec().eps);
  return moments.mean.div(scale).masked_fill_(scale.eq(0), 0);
}

}  // namespace evenkeel::optim
