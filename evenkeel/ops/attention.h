// Attention with autograd: on own kernels (kernels/attention.h), and as a composition of elementary
// operations that specifies them.
//
//   z_ij = s <q_i, k_j> (or another kernels::ScoreRule), a_i = softmax(z_i) over the keys that i sees,
//   y_i = sum_j a_ij v_j;   with a sink a_ij = e^z_ij / (e^s_h + sum_j e^z_ij);
//   of squared ReLU a_ij = max(0, z_ij)^2 / sqrt(T)
//
// Queries and keys may be normalised and rotated on the way in. The kernels store no score; the reference
// stores B H T S of them and runs in any dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "evenkeel/kernels/attention.h"
#include "evenkeel/ops/matmul.h"

namespace evenkeel::ops {

struct AttentionInputs {
  /// Self-attention: [B T, 3 H K], queries, keys and values side by side. Cross: queries alone [B T, H K]
  /// with `memory` [B S, 2 H K], keys and values.
  at::Tensor x, memory;
  at::Tensor query_gain, key_gain;  ///< qk-norm: [K], [H, K] (own_gains) or [H K] (whole); undefined: off
  at::Tensor sink;                  ///< [H], a logit that every row has besides; undefined: none
  at::Tensor cos, sin;              ///< [positions, K/2] fp32; undefined: no rotation
  at::Tensor query_lengths, key_lengths;  ///< [B] int64; undefined: no padding
};

struct AttentionOptions {
  std::int64_t batch = 1, heads = 1;
  bool causal = true;
  kernels::ScoreRule score;
  bool own_gains = false, whole = false;
  double eps = 1e-6;
  kernels::Dropout dropout;
};

/// -> [B T, H K] in the dtype of x. `stats`, when given, becomes one entry per head (padding excluded).
/// Differentiable in x, memory, gains and sink. fp32 and bf16 run on the kernels, anything else as
/// attention_reference.
at::Tensor attention(const AttentionInputs& inputs, const AttentionOptions& options,
                     std::vector<kernels::AttentionStats>* stats = nullptr);

/// The same from elementary operations in the dtype of x, the two products under `rounding`: the
/// specification. Its `stats` are computed in double from the scores of which it makes weights.
at::Tensor attention_reference(const AttentionInputs& inputs, const AttentionOptions& options,
                               Rounding rounding = Rounding::kNone,
                               std::vector<kernels::AttentionStats>* stats = nullptr);

/// Queries and keys as they enter the product, after norm and rotation: [B H, T, K] and [B H, S, K] in the
/// dtype of x.
std::pair<at::Tensor, at::Tensor> query_key_reference(const AttentionInputs& inputs,
                                                      const AttentionOptions& options);

}  // namespace evenkeel::ops
