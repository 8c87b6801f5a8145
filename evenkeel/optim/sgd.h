// Stochastic gradient descent with heavy-ball momentum mu and L2 decay; Delta is the momentum.
//
//   b <- mu b + (g + lambda p);   p <- p - lr b
//
// Polyak 1964; in this form torch.optim.SGD without dampening. mu = 0 is plain gradient descent. State:
// "momentum_buffer".
#pragma once

#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

class Sgd final : public PlainRule {
 public:
  Sgd(std::vector<nn::Param*> params, const OptimSpec& spec);

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

}  // namespace evenkeel::optim
