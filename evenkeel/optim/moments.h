// What the relatives of Adam that have no kernel share: the moments of the gradient.
//
//   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   mhat = m / (1 - b1^t),   vhat = v / (1 - b2^t)
//
// State: "exp_avg" and "exp_avg_sq".
#pragma once

#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

class MomentRule : public PlainRule {
 protected:
  MomentRule(std::vector<nn::Param*> params, const OptimSpec& spec);
  struct Corrected {
    at::Tensor mean, square;  ///< mhat, vhat
  };
  /// Advances the moments of parameter i.
  Corrected moments(std::size_t i, const at::Tensor& gradient);
  /// mhat / (sqrt(vhat) + eps), 0 where the denominator is.
  at::Tensor adam_direction(const Corrected& moments) const;
  /// The same of a gradient that the moments have not seen yet.
  at::Tensor direction_of(std::size_t i, const at::Tensor& gradient) {
    return adam_direction(moments(i, gradient));
  }
};

}  // namespace evenkeel::optim
