// Linear layers and the MLP on own matrix products (kernels/matmul.h): y = x W^T + b and y = W2 act(W1 x +
// b1) + b2.
//
// Activations are stored as fp32 or bf16 (the dtype of x), weights and their gradients are fp32. Bits do not
// depend on the number of threads. In double the plain form runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/ops/activation.h"

namespace evenkeel::ops {

/// One to three matrices applied to the same input, their outputs side by side: queries, keys and values.
struct LinearWeights {
  std::vector<at::Tensor> weights;  ///< [out_i, in] fp32
  std::vector<at::Tensor> biases;   ///< [out_i], all or none
};

/// x [N, in] -> [N, sum of out_i] in the dtype of x. Differentiable.
at::Tensor fused_linear(const at::Tensor& x, const LinearWeights& weights);
at::Tensor fused_linear_plain(const at::Tensor& x, const LinearWeights& weights);

struct MlpWeights {
  at::Tensor w1, b1, w2, b2;  ///< [F, D], [F] or undefined, [D, F], [D] or undefined
  Activation activation = Activation::kGeluTanh;
};

/// x [N, D] -> [N, D] in the dtype of x. Keeps what goes into the activation, [N, F], for the backward pass,
/// and nothing else. Differentiable once: that room is used up by the backward pass, and a second one through
/// a retained graph throws.
at::Tensor fused_mlp(const at::Tensor& x, const MlpWeights& weights);
at::Tensor fused_mlp_plain(const at::Tensor& x, const MlpWeights& weights);

}  // namespace evenkeel::ops
