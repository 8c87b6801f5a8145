#include "evenkeel/optim/adamw.h"

#include <cmath>

#include "evenkeel/ops/adamw.h"

namespace evenkeel::optim {
namespace {

enum Quantity : std::size_t { kMean, kSquare };

}  // namespace

AdamW::AdamW(std::vector<nn::Param*> params, const OptimSpec& spec)
    : UpdateRule(std::move(params), spec, {"exp_avg", "exp_avg_sq"}) {}

void AdamW::update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  const double lambda = *spec().weight_decay;
  const double decay = spec().decay_form == DecayForm::kCoupled ? lr * lambda : lr / spec().lr * lambda;
  std::vector<at::Tensor> gradients;
  for (const nn::Param* param : params()) gradients.push_back(param->value.grad());
  update_with(gradients, lr, decay, stats, gradient_factor);
}

void AdamW::update_with(const std::vector<at::Tensor>& gradients, double lr, double decay,
                        std::vector<UpdateStats>* stats, double gradient_factor) {
  const auto t = static_cast<double>(steps());
  const ops::AdamWStep step{lr,
                            decay,
                            spec().beta1,
                            spec().beta2,
                            epsilon(),
                            1 - std::pow(spec().beta1, t),
                            1 - std::pow(spec().beta2, t),
                            gradient_factor};
  std::vector<ops::AdamWTensors> tensors;
  for (std::size_t i = 0; i < params().size(); ++i)
    tensors.push_back({params()[i]->value, gradients[i], quantity(kMean, i), quantity(kSquare, i), rate_of(i),
                       decay_factor(i)});
  if (stats == nullptr) return ops::adamw_(tensors, step, nullptr);
  std::vector<ops::AdamWSquares> squares;
  ops::adamw_(tensors, step, &squares);
  for (std::size_t i = 0; i < params().size(); ++i) {
    const auto n = static_cast<double>(params()[i]->value.numel());
    stats->push_back({std::sqrt(squares[i].gradient / n), std::sqrt(squares[i].param / n),
                      std::sqrt(squares[i].update / n), std::sqrt(squares[i].delta / n)});
  }
}

at::Tensor AdamW::preconditioner(std::size_t i) const {
  if (steps() == 0) return {};
  const double correction = 1 - std::pow(spec().beta2, static_cast<double>(steps()));
  return quantity(kSquare, i).div(correction).sqrt_().add_(epsilon());
}

at::Tensor AdamW::direction(std::size_t i) const {
  if (steps() == 0) return {};
  const double correction = 1 - std::pow(spec().beta1, static_cast<double>(steps()));
  const at::Tensor scale = preconditioner(i);
  return quantity(kMean, i).div(correction).div_(scale).masked_fill_(scale.eq(0), 0);
}

nn::OpUse AdamW::op_use() const {
  return {"adamw", OpPath::kFused, "kernels for fp32, whatever train.ops", true};
}

}  // namespace evenkeel::optim
