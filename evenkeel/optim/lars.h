// LARS: momentum over gradients that every tensor scales by its own trust ratio r.
//
//   r = c |p| / (|g| + lambda |p|);   b <- mu b + lr r (g + lambda p);   p <- p - b
//
// You, Gitman, Ginsburg 2017 (arXiv 1708.03888), algorithm 1: norms are per parameter tensor, and the
// learning rate enters the momentum. r = 1 for gains and biases unless optim.trust_gains, for gammas unless
// optim.trust_gammas, and where the quotient is 0 or has no value, so that what starts at zero can move.
// Delta is b / lr. State: "momentum_buffer".
#pragma once

#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

class Lars final : public PlainRule {
 public:
  Lars(std::vector<nn::Param*> params, const OptimSpec& spec);

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
  double trust_ratio(std::size_t i, const at::Tensor& gradient) const;
};

}  // namespace evenkeel::optim
