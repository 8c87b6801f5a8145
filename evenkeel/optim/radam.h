// RAdam: Adam that waits until the variance of its second moment can be estimated, and corrects for it from
// then on; decay apart from the gradient.
//
//   rho = 2 / (1 - b2) - 1,   rho_t = rho - 2 t b2^t / (1 - b2^t)
//   r_t = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t)) if rho_t >= 5, else 0
//   Delta = r_t sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps);   p <- p - lr (Delta + lambda p)
//
// Liu et al. 2020 (arXiv 1908.03265) in the form that the code of Admin (arXiv 2004.08249) ships: without
// rectification nothing but decay happens, while the moments accumulate. The first update that moves is the
// 6th for b2 from 0.98 to 0.999. State as AdamW's.
#pragma once

#include "evenkeel/optim/adamw.h"

namespace evenkeel::optim {

class RAdam : public AdamW {
 public:
  using AdamW::AdamW;
  /// (sqrt(vhat) + eps) / r_t; undefined while r_t is 0, like direction().
  at::Tensor preconditioner(std::size_t i) const override;
  at::Tensor direction(std::size_t i) const override;
  nn::OpUse op_use() const override;

 protected:
  void update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) override;
  /// That beside sqrt(v), which is not corrected.
  double epsilon() const override;

 private:
  double rectification() const;  ///< r_t of the last update
};

}  // namespace evenkeel::optim
