// Statistics of causal attention, one number per head, from what the forward pass already has.
//
// Visible entries only (j <= i). Definitions: docs/guide/definitions.md, "Attention". Entropy of row i in
// nats, H = -log p_max - sum_j p_ij (z_ij - z_max): no logarithm per entry, and exact for saturated rows. One
// pass, double sums in a fixed order; any NaN among the logits of a head makes its numbers NaN.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

struct AttentionStats {
  double logit_max = 0, logit_absmax = 0, logit_rms = 0;
  double entropy = 0, entropy_norm = 0;  ///< mean H and mean H / ln n over rows with n >= 2
  double q_norm = 0, k_norm = 0;         ///< mean Euclidean norms
  double qk_cosine = 0;                  ///< mean over visible pairs; 0 where a norm is 0
};

struct AttentionShape {
  std::int64_t batch = 0, heads = 0, time = 0, head_width = 0;
};

/// logits and weights [B, H, T, T] (entries j > i are not read), q and k [B, H, T, K]; out[H].
void attention_stats(const float* logits, const float* weights, const float* q, const float* k,
                     const AttentionShape& shape, AttentionStats* out);
void attention_stats(const double* logits, const double* weights, const double* q, const double* k,
                     const AttentionShape& shape, AttentionStats* out);

}  // namespace evenkeel::kernels
