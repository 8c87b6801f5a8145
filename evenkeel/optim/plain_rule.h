// Rules made of elementary tensor operations, without a kernel of their own: one product, sum, quotient
// or square root at a time, each of which IEEE 754 rounds in one way only. No bit depends on threads, vector
// width or telemetry.
#pragma once

#include "evenkeel/optim/update_rule.h"

namespace evenkeel::optim {

/// k g, zero where there is no gradient.
at::Tensor scaled_gradient(const nn::Param& param, double factor);
/// g + lambda p.
at::Tensor with_decay(const at::Tensor& gradient, const at::Tensor& param, double lambda);

/// One update of a parameter.
struct Change {
  at::Tensor step;  ///< what is subtracted, learning rate included
  /// Where decay is no part of the step: lambda. lr lambda p goes too, or s lambda p where optim.decay_form
  /// is independent, s the schedule in [0, 1]; whatever the factor of the rate.
  double decay = 0;
};

class PlainRule : public UpdateRule {
 public:
  nn::OpUse op_use() const override;

 protected:
  using UpdateRule::UpdateRule;
  /// Whether a trust ratio scales parameter i: a matrix, or a gain, bias or gamma that optim.trust_gains or
  /// trust_gammas include.
  bool is_trusted(std::size_t i) const;
  /// What happens to parameter i at learning rate `lr`, its own factor included; advances
  /// its state.
  virtual Change change(std::size_t i, const at::Tensor& gradient, double lr) = 0;

 private:
  void update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) final;
};

}  // namespace evenkeel::optim
