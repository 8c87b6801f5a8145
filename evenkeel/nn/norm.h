// LayerNorm over the last dimension: y = g (x - mean) / sqrt(var + eps) (+ b), var the biased variance.
//
// Ba, Kiros & Hinton 2016, arXiv 1607.06450; the form of Flax. Gain only unless biases are asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/module.h"

namespace evenkeel::nn {

class LayerNorm : public Module {
 public:
  LayerNorm(std::int64_t width, double eps, bool bias);
  /// x [..., width] -> same shape.
  at::Tensor forward(const at::Tensor& x) const;

  Param& gain;
  Param* bias = nullptr;  ///< null without bias

 private:
  double eps_;
};

}  // namespace evenkeel::nn
