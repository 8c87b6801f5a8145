// Dropout: each value is zeroed with probability p and the others are divided by 1 - p, in training only.
//
// Srivastava et al. 2014. The mask depends only on (seed, module path, step, index), so a resumed run drops
// the same values.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/ops/dropout.h"

namespace evenkeel::nn {

class Dropout : public Module {
 public:
  explicit Dropout(double p) : p_(p) {}
  /// Returns x itself when p is 0 or context.training is false.
  at::Tensor forward(const at::Tensor& x, const Context& context) const;
  bool on() const { return p_ > 0; }
  /// The same, for an op that applies it itself.
  kernels::Dropout at(const Context& context) const;

 private:
  double p_;
};

}  // namespace evenkeel::nn
