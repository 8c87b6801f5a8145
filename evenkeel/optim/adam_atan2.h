// Adam-atan2: Adam without epsilon, and with steps that are bounded.
//
//   Delta = a atan2(mhat, sqrt(vhat)), a = 1.27;   p <- p - lr (Delta + lambda p)
//
// Everett et al. 2024, arXiv 2407.05872. |Delta| <= 2; 0.997 at mhat = sqrt(vhat) and of slope a at 0, so
// that steps of noise are a quarter longer than Adam's; no scale of the gradient matters, and atan2(0, 0) =
// 0. State as in moments.h.
#pragma once

#include "evenkeel/optim/moments.h"

namespace evenkeel::optim {

class AdamAtan2 final : public MomentRule {
 public:
  AdamAtan2(std::vector<nn::Param*> params, const OptimSpec& spec) : MomentRule(std::move(params), spec) {}

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

}  // namespace evenkeel::optim
