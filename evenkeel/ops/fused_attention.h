// Attention on own kernels (kernels/attention.h), and the same from elementary operations.
//
//   z_ij = s <q_i, k_j> (c tanh(z / c) with a soft cap), a_i = softmax(z_i) over the keys that i sees, y_i =
//   sum a_ij v_j
//
// Queries and keys may be normalised and rotated on the way in. No score is stored in the fused form; the
// plain form stores B H T S of them and runs in any dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "evenkeel/kernels/attention.h"

namespace evenkeel::ops {

struct FusedAttentionInputs {
  /// Self-attention: [B T, 3 H K], queries, keys and values side by side. Cross: queries alone [B T, H K]
  /// with `memory` [B S, 2 H K], keys and values.
  at::Tensor x, memory;
  at::Tensor query_gain, key_gain;  ///< qk-norm: [K], [H, K] (own_gains) or [H K] (whole); undefined: off
  at::Tensor cos, sin;              ///< [positions, K/2] fp32; undefined: no rotation
  at::Tensor query_lengths, key_lengths;  ///< [B] int64; undefined: no padding
};

struct FusedAttentionOptions {
  std::int64_t batch = 1, heads = 1;
  bool causal = true;
  double scale = 1;  ///< s
  double softcap = 0;
  bool own_gains = false, whole = false;
  double eps = 1e-6;
  kernels::Dropout dropout;
};

/// -> [B T, H K] in the dtype of x. `stats`, when given, becomes one entry per head (padding excluded).
/// Differentiable.
at::Tensor fused_attention(const FusedAttentionInputs& inputs, const FusedAttentionOptions& options,
                           std::vector<kernels::AttentionStats>* stats = nullptr);
/// Queries and keys as they enter the product, after norm and rotation: [B H, T, K] and [B H, S, K] in the
/// dtype of x.
std::pair<at::Tensor, at::Tensor> query_key_plain(const FusedAttentionInputs& inputs,
                                                  const FusedAttentionOptions& options);
at::Tensor fused_attention_plain(const FusedAttentionInputs& inputs, const FusedAttentionOptions& options);
/// What `stats` of fused_attention holds, from the scores, in double. Records no gradient.
std::vector<kernels::AttentionStats> attention_stats_plain(const FusedAttentionInputs& inputs,
                                                           const FusedAttentionOptions& options);

}  // namespace evenkeel::ops
