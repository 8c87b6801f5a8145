#include "evenkeel/optim/adamw.h"

#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "evenkeel/ops/adamw.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

AdamW::AdamW(std::vector<nn::Param*> params, const OptimSpec& spec)
    : params_(std::move(params)), spec_(spec) {
  c10::AutoGradMode no_grad(false);
  for (const nn::Param* param : params_) {
    exp_avg_.push_back(at::zeros_like(param->value));
    exp_avg_sq_.push_back(at::zeros_like(param->value));
  }
}

void AdamW::step(double lr, std::vector<UpdateStats>* stats) {
  c10::AutoGradMode no_grad(false);
  ++steps_;
  const double t = static_cast<double>(steps_), lambda = *spec_.weight_decay;
  const double decay = spec_.decay_form == DecayForm::kIndependent ? lr / spec_.lr * lambda : lr * lambda;
  ops::AdamWStep step{lr,
                      decay,
                      spec_.beta1,
                      spec_.beta2,
                      spec_.eps,
                      1 - std::pow(spec_.beta1, t),
                      1 - std::pow(spec_.beta2, t)};
  if (stats != nullptr) stats->assign(params_.size(), {});
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const nn::Param& param = *params_[i];
    at::Tensor gradient = param.value.grad();
    if (!gradient.defined()) gradient = at::zeros_like(param.value);
    step.decay = param.is_matrix() || spec_.decay_gains ? decay : 0;
    if (stats == nullptr) {
      ops::adamw_(param.value, gradient, exp_avg_[i], exp_avg_sq_[i], step, nullptr);
      continue;
    }
    UpdateStats& entry = (*stats)[i];
    entry.grad_rms = ops::rms(gradient);
    entry.param_rms = ops::rms(param.value);
    ops::AdamWSquares squares;
    ops::adamw_(param.value, gradient, exp_avg_[i], exp_avg_sq_[i], step, &squares);
    const auto n = static_cast<double>(param.value.numel());
    entry.update_rms = std::sqrt(squares.update / n);
    entry.delta_rms = std::sqrt(squares.delta / n);
  }
}

void AdamW::zero_grad() {
  for (const nn::Param* param : params_) param->value.mutable_grad() = at::Tensor();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    named.emplace_back("exp_avg/" + params_[i]->name, exp_avg_[i]);
    named.emplace_back("exp_avg_sq/" + params_[i]->name, exp_avg_sq_[i]);
  }
  return named;
}

}  // namespace evenkeel::optim
