// Causal softmax attention: z = q k^T / sqrt(K) for j <= i, a = softmax(z), y = a v.
//
// Vaswani et al. 2017, arXiv 1706.03762. Cost: stores z and a, B H T^2 numbers each.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/kernels/attention_stats.h"
#include "evenkeel/ops/matmul.h"

namespace evenkeel::ops {

struct AttentionResult {
  at::Tensor out;      ///< [B, H, T, K]
  at::Tensor logits;   ///< [B, H, T, T], after scale, before softmax; -inf where j > i
  at::Tensor weights;  ///< [B, H, T, T]
};

/// q, k, v [B, H, T, K] contiguous; mask from causal_mask(T). Differentiable. Softmax in the dtype of q, the
/// two products under `rounding`. z is divided by `temperature` too.
AttentionResult causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& mask, Rounding rounding, double temperature = 1);

/// [T, T]: 0 for j <= i, -inf above.
at::Tensor causal_mask(std::int64_t time, const at::TensorOptions& options);

/// Per head, from the result and the q, k that made it; records no gradient.
std::vector<kernels::AttentionStats> attention_stats(const at::Tensor& q, const at::Tensor& k,
                                                     const AttentionResult& result);

}  // namespace evenkeel::ops
