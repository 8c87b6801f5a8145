// StableAdamW: AdamW whose rate every tensor divides by how far its gradient exceeds what the second moment
// expects.
//
//   R = sqrt(mean(g^2 / max(vhat, eps^2)));   lr' = lr / max(1, R);   p <- p - lr' (mhat / (sqrt(vhat) + eps)
//   + lambda p)
//
// Wortsman et al. 2023, arXiv 2304.13013, algorithm 2: the update clipping of Adafactor (arXiv 1804.04235) in
// AdamW. Delta is what lr multiplies, without decay. State as in moments.h.
#pragma once

#include "evenkeel/optim/moments.h"

namespace evenkeel::optim {

class StableAdamW final : public MomentRule {
 public:
  StableAdamW(std::vector<nn::Param*> params, const OptimSpec& spec) : MomentRule(std::move(params), spec) {}

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

}  // namespace evenkeel::optim
