#include "evenkeel/optim/optimiser.h"

#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>

#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/adagrad.h"
#include "evenkeel/optim/adam.h"
#include "evenkeel/optim/adam_atan2.h"
#include "evenkeel/optim/adamw.h"
#include "evenkeel/optim/lamb.h"
#include "evenkeel/optim/lars.h"
#include "evenkeel/optim/radam.h"
#include "evenkeel/optim/sgd.h"
#include "evenkeel/optim/stable_adamw.h"

namespace evenkeel::optim {

Optimiser::Optimiser(std::vector<nn::Param*> params, const OptimSpec& spec,
                     std::vector<std::string> quantities)
    : params_(std::move(params)), spec_(spec) {
  c10::AutoGradMode no_grad(false);
  for (std::string& name : quantities) {
    std::vector<at::Tensor> zeros;
    for (const nn::Param* param : params_) zeros.push_back(at::zeros_like(param->value));
    quantities_.emplace_back(std::move(name), std::move(zeros));
  }
}

void Optimiser::step(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  c10::AutoGradMode no_grad(false);
  ++steps_;
  if (stats != nullptr) stats->clear();
  update(lr, stats, gradient_factor);
}

void Optimiser::zero_grad() {
  for (const nn::Param* param : params_) param->value.mutable_grad() = at::Tensor();
}

std::vector<std::pair<std::string, at::Tensor>> Optimiser::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (std::size_t i = 0; i < params_.size(); ++i)
    for (const auto& [name, tensors] : quantities_)
      named.emplace_back(name + "/" + params_[i]->name, tensors[i]);
  return named;
}

double Optimiser::rate_of(std::size_t i) const {
  constexpr double kLeastRms = 1e-3;  // lets what starts at zero move
  const nn::Param& param = *params_[i];
  return param.follows_rms ? param.rate * std::max(ops::rms(param.value), kLeastRms) : param.rate;
}

double Optimiser::decay_factor(std::size_t i) const {
  const nn::Param& param = *params_[i];
  const bool gamma = param.role == nn::Role::kGamma;
  const bool decays = param.is_matrix() || (gamma ? spec_.decay_gammas : spec_.decay_gains);
  return decays ? param.decay : 0;
}

std::unique_ptr<Optimiser> make_optimiser(std::vector<nn::Param*> params, const OptimSpec& spec) {
  std::erase_if(params, [](const nn::Param* param) { return !param->trainable; });
  switch (spec.algorithm) {
    case OptimiserKind::kAdamW:
      return std::make_unique<AdamW>(std::move(params), spec);
    case OptimiserKind::kAdam:
      return std::make_unique<Adam>(std::move(params), spec);
    case OptimiserKind::kRAdam:
      return std::make_unique<RAdam>(std::move(params), spec);
    case OptimiserKind::kSgd:
      return std::make_unique<Sgd>(std::move(params), spec);
    case OptimiserKind::kLars:
      return std::make_unique<Lars>(std::move(params), spec);
    case OptimiserKind::kAdagrad:
      return std::make_unique<Adagrad>(std::move(params), spec);
    case OptimiserKind::kLamb:
      return std::make_unique<Lamb>(std::move(params), spec);
    case OptimiserKind::kAdamAtan2:
      return std::make_unique<AdamAtan2>(std::move(params), spec);
    case OptimiserKind::kStableAdamW:
      return std::make_unique<StableAdamW>(std::move(params), spec);
  }
  throw std::logic_error("an optimiser without implementation");
}

}  // namespace evenkeel::optim
