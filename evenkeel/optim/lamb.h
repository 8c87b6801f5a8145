// LAMB: Adam's direction with decay in it, at a length that every tensor sets by its own.
//
//   r = mhat / (sqrt(vhat) + eps) + lambda p;   p <- p - lr |p| / |r| r
//
// You et al. 2020, arXiv 1904.00962, algorithm 2 with phi the identity. The ratio is 1 for gains and biases
// unless optim.trust_gains, for gammas unless optim.trust_gammas, and where either norm is 0. Delta is what
// lr multiplies. State as in moments.h.
#pragma once

#include "evenkeel/optim/moments.h"

namespace evenkeel::optim {

class Lamb final : public MomentRule {
 public:
  Lamb(std::vector<nn::Param*> params, const OptimSpec& spec) : MomentRule(std::move(params), spec) {}

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

}  // namespace evenkeel::optim
