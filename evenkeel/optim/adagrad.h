// Adagrad with L2 decay: every value is divided by the root of the sum of its squared gradients so far.
//
//   g <- g + lambda p;   a <- a + g^2;   p <- p - lr g / (sqrt(a) + eps)
//
// Duchi, Hazan, Singer 2011 (JMLR 12); torch.optim.Adagrad with a = 0 at the start. 0 / 0 counts as 0. State:
// "sum".
#pragma once

#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

class Adagrad final : public PlainRule {
 public:
  Adagrad(std::vector<nn::Param*> params, const OptimSpec& spec);
  at::Tensor preconditioner(std::size_t i) const override;

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

}  // namespace evenkeel::optim
