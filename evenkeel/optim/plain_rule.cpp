#include "evenkeel/optim/plain_rule.h"

#include <ATen/ops/zeros_like.h>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

// add(x, alpha) would be fused into one rounding in vectors and not in what is left over.
at::Tensor with_decay(const at::Tensor& gradient, const at::Tensor& param, double lambda) {
  return lambda == 0 ? gradient : param.mul(lambda).add_(gradient);
}

at::Tensor scaled_gradient(const nn::Param& param, double factor) {
  const at::Tensor& gradient = param.value.grad();
  if (!gradient.defined()) return at::zeros_like(param.value);
  return factor == 1 ? gradient : gradient.mul(factor);
}

void PlainRule::update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  const double fades = spec().decay_form == DecayForm::kIndependent ? lr / spec().lr : lr;
  for (std::size_t i = 0; i < params().size(); ++i) {
    const nn::Param& param = *params()[i];
    const at::Tensor gradient = scaled_gradient(param, gradient_factor);
    const double rate = lr * rate_of(i);
    const Change made = change(i, gradient, rate);
    const at::Tensor subtracted =
        made.decay == 0 ? made.step : param.value.mul(fades * made.decay).add_(made.step);
    if (stats != nullptr) {
      const double delta_rms = rate == 0 ? 0 : ops::rms(made.step) / rate;
      stats->push_back({ops::rms(gradient), ops::rms(param.value), ops::rms(subtracted), delta_rms});
    }
    param.value.sub_(subtracted);
  }
}

bool PlainRule::is_trusted(std::size_t i) const {
  const nn::Param& param = *params()[i];
  const bool gamma = param.role == nn::Role::kGamma;
  return param.is_matrix() || (gamma ? spec().trust_gammas : spec().trust_gains);
}

nn::OpUse PlainRule::op_use() const {
  return {std::string(enum_name(spec().algorithm)), OpPath::kPlain, "no kernels for this optimiser", true};
}

}  // namespace evenkeel::optim
