#include "evenkeel/optim/radam.h"

#include <cmath>

namespace evenkeel::optim {

double RAdam::rectification() const {
  constexpr double kLeast = 5;  // below it the variance of the second moment has no estimate
  const auto t = static_cast<double>(steps());
  const double power = std::pow(spec().beta2, t), rho = 2 / (1 - spec().beta2) - 1,
               rho_t = rho - 2 * t * power / (1 - power);
  if (rho_t < kLeast) return 0;
  return std::sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t));
}

double RAdam::epsilon() const {
  return spec().eps / std::sqrt(1 - std::pow(spec().beta2, static_cast<double>(steps())));
}

void RAdam::update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  std::vector<at::Tensor> gradients;
  for (const nn::Param* param : params()) gradients.push_back(param->value.grad());
  const double rectified = rectification();
  update_with(gradients, lr * rectified, lr * *spec().weight_decay, stats, gradient_factor);
  if (stats == nullptr) return;
  for (UpdateStats& s : *stats) s.delta_rms *= rectified;
}

at::Tensor RAdam::preconditioner(std::size_t i) const {
  if (steps() == 0 || rectification() == 0) return {};
  return AdamW::preconditioner(i).div(rectification());
}

at::Tensor RAdam::direction(std::size_t i) const {
  return preconditioner(i).defined() ? AdamW::direction(i) : at::Tensor();
}

nn::OpUse RAdam::op_use() const {
  return {"radam", OpPath::kFused, "kernels for fp32, whatever train.ops", true};
}

}  // namespace evenkeel::optim
