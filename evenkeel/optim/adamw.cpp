#include "evenkeel/optim/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "evenkeel/ops/adamw.h"

namespace evenkeel::optim {

AdamW::AdamW(std::vector<nn::Param*> params, const OptimSpec& spec)
    : params_(std::move(params)), spec_(spec) {
  c10::AutoGradMode no_grad(false);
  for (const nn::Param* param : params_) {
    exp_avg_.push_back(at::zeros_like(param->value));
    exp_avg_sq_.push_back(at::zeros_like(param->value));
  }
}

void AdamW::step(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  c10::AutoGradMode no_grad(false);
  ++steps_;
  const double t = static_cast<double>(steps_), lambda = *spec_.weight_decay;
  const double decay = spec_.decay_form == DecayForm::kIndependent ? lr / spec_.lr * lambda : lr * lambda;
  const ops::AdamWStep step{lr,
                            decay,
                            spec_.beta1,
                            spec_.beta2,
                            spec_.eps,
                            1 - std::pow(spec_.beta1, t),
                            1 - std::pow(spec_.beta2, t),
                            gradient_factor};
  std::vector<ops::AdamWTensors> tensors;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const nn::Param& param = *params_[i];
    tensors.push_back({param.value, param.value.grad(), exp_avg_[i], exp_avg_sq_[i], decays(param.role)});
  }
  if (stats == nullptr) return ops::adamw_(tensors, step, nullptr);
  std::vector<ops::AdamWSquares> squares;
  ops::adamw_(tensors, step, &squares);
  stats->clear();
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const auto n = static_cast<double>(params_[i]->value.numel());
    stats->push_back({std::sqrt(squares[i].gradient / n), std::sqrt(squares[i].param / n),
                      std::sqrt(squares[i].update / n), std::sqrt(squares[i].delta / n)});
  }
}

bool AdamW::decays(nn::Role role) const {
  if (role == nn::Role::kGamma) return spec_.decay_gammas;
  return (role != nn::Role::kGain && role != nn::Role::kBias) || spec_.decay_gains;
}

at::Tensor AdamW::direction(std::size_t i) const {
  const double t = static_cast<double>(steps_);
  const at::Tensor mean = exp_avg_[i] / (1 - std::pow(spec_.beta1, t)),
                   root = (exp_avg_sq_[i] / (1 - std::pow(spec_.beta2, t))).sqrt() + spec_.eps;
  // 0 / 0 counts as no update, as in the step.
  return at::where(root == 0, at::zeros_like(mean), mean / root);
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
