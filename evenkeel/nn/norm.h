// LayerNorm over the last dimension: y = g (x - mean) / sqrt(var + eps) (+ b), var the biased variance.
//
// Ba, Kiros & Hinton 2016, arXiv 1607.06450; the form of Flax. Gain only unless biases are asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/ops/add_norm.h"

namespace evenkeel::nn {

/// The residual stream of the fused path, with a branch that the next norm will add.
struct Stream {
  at::Tensor x;              ///< [N, D] fp32
  at::Tensor branch;         ///< [N, D] in the storage dtype; undefined: nothing to add
  kernels::Dropout dropout;  ///< of the branch
  std::string site;          ///< the block that the sum is the output of; "" when it is not one's
};

class LayerNorm : public Module {
 public:
  LayerNorm(std::int64_t width, double eps, bool bias);
  /// x [..., width] -> same shape.
  at::Tensor forward(const at::Tensor& x) const;
  /// Adds the stream's branch and normalises the sum, in one pass: the sum [N, width] fp32, and its norm in
  /// `type` (context.storage() when not given). Reports the rms of the sum as "block/<site>/out_rms" when the
  /// stream names a site.
  ops::AddNormResult forward(const Stream& stream, const Context& context) const;
  ops::AddNormResult forward(const Stream& stream, const Context& context, at::ScalarType type) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  Param& gain;
  Param* bias = nullptr;  ///< null without bias

 private:
  double eps_;
};

}  // namespace evenkeel::nn
