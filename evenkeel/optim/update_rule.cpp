#include "evenkeel/optim/update_rule.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

UpdateRule::UpdateRule(std::vector<nn::Param*> params, const OptimSpec& spec,
                       std::vector<std::string> quantities)
    : params_(std::move(params)), spec_(spec) {
  c10::AutoGradMode no_grad(false);
  for (std::string& name : quantities) {
    std::vector<at::Tensor> zeros;
    for (const nn::Param* param : params_) zeros.push_back(at::zeros_like(param->value));
    quantities_.emplace_back(std::move(name), std::move(zeros));
  }
}

std::size_t UpdateRule::add_number(std::string name) {
  std::vector<at::Tensor> zeros;
  for (const nn::Param* param : params_)
    zeros.push_back(at::zeros({}, param->value.options().requires_grad(false)));
  quantities_.emplace_back(std::move(name), std::move(zeros));
  return quantities_.size() - 1;
}

void UpdateRule::step(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  c10::AutoGradMode no_grad(false);
  ++steps_;
  if (stats != nullptr) stats->clear();
  update(lr, stats, gradient_factor);
}

std::vector<std::pair<std::string, at::Tensor>> UpdateRule::state(std::size_t i) const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& [name, tensors] : quantities_)
    named.emplace_back(name + "/" + params_[i]->name, tensors[i]);
  return named;
}

double UpdateRule::rate_of(std::size_t i) const {
  constexpr double kLeastRms = 1e-3;  // lets what starts at zero move
  const nn::Param& param = *params_[i];
  return param.follows_rms ? param.rate * std::max(ops::rms(param.value), kLeastRms) : param.rate;
}

double UpdateRule::decay_factor(std::size_t i) const {
  const nn::Param& param = *params_[i];
  const bool gamma = param.role == nn::Role::kGamma;
  const bool decays = param.is_matrix() || (gamma ? spec_.decay_gammas : spec_.decay_gains);
  return decays ? param.decay : 0;
}

}  // namespace evenkeel::optim
