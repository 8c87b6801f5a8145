// AdamW with bias correction and two forms of decay, s = lr / peak (floor and warm-up included):
//
//   Delta = mhat / (sqrt(vhat) + eps)
//   independent: p <- p - (lr Delta + s lambda p)      coupled: p <- p - lr (Delta + lambda p)
//
// Kingma & Ba 2014 (arXiv 1412.6980); Loshchilov & Hutter 2017 (arXiv 1711.05101); Wortsman et al. 2023
// (arXiv 2309.14322) §3.2.2, signs corrected. s is in [0, 1] unless change.lr_factor raises it. State:
// "exp_avg" and "exp_avg_sq".
#pragma once

#include "evenkeel/optim/update_rule.h"

namespace evenkeel::optim {

class AdamW : public UpdateRule {
 public:
  AdamW(std::vector<nn::Param*> params, const OptimSpec& spec);

  at::Tensor preconditioner(std::size_t i) const override;
  at::Tensor direction(std::size_t i) const override;
  nn::OpUse op_use() const override;

 protected:
  void update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) override;
  /// The same from these gradients instead of the parameters' own; `decay` is the share of p removed.
  void update_with(const std::vector<at::Tensor>& gradients, double lr, double decay,
                   std::vector<UpdateStats>* stats, double gradient_factor);
  /// What stands beside sqrt(vhat).
  virtual double epsilon() const { return spec().eps; }
};

}  // namespace evenkeel::optim
