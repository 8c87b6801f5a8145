// Attention, forward and backward, without ever storing the scores: z_ij = s <q_i, k_j> (or another
// ScoreRule), a_i = softmax(z_i) over the keys that query i sees, y_i = sum_j a_ij v_j.
//
// A sink is a logit s_h that every row of head h has besides those of its keys, and that has no value:
// a_ij = e^z_ij / (e^s_h + sum_j e^z_ij), so that a row may look at nothing; at s = 0 it is softmax "off by
// one" (Miller 2023; gpt-oss, arXiv 2508.10925). It is a logit as it enters the softmax: neither scale nor
// cap touch it. From the largest score m and the sum l of a row it is
//   m' = max(m, s),  l' = l e^(m - m') + e^(s - m'),  ds = -p <d y, y>,  p = e^(s - m') / l' its own weight,
// and the gradients of the other scores are as without. With WeightRule::kSquaredRelu a_ij = max(0, z_ij)^2 /
// sqrt(T) and dz_ij = 2 max(0, z_ij) / sqrt(T) <d y_i, v_j>: nothing is shared by a row.
//
// Vaswani et al. 2017, arXiv 1706.03762; online softmax, Milakov & Gimelshein 2018, arXiv 1805.02867;
// recomputation in the backward pass, Dao et al. 2022, arXiv 2205.14135. What is done to queries and keys
// before the product happens while they are loaded: LayerNorm (qk-norm, Dehghani et al. 2023, arXiv
// 2302.05442), then rotation (Su et al. 2021, arXiv 2104.09864). Per-head statistics fall out of the same
// pass. Scores are computed with queries in the lanes of a vector, so that no reduction crosses lanes. A key
// block holds kKeyBlock keys; bits depend on neither threads nor statistics. Cost: 4 (forward) and 10
// (backward) K flops for each visible pair, rounded up to tiles of 32 x 32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "evenkeel/kernels/dropout.h"
#include "evenkeel/kernels/score_rule.h"
#include "evenkeel/kernels/types.h"

namespace evenkeel::kernels {

/// Statistics of one head over the pairs (query, key) that are visible and hold a token. The definitions are
/// in docs/guide/definitions.md, "Attention". Logits are the scores that enter the softmax. Any NaN among
/// them makes all but the norms NaN.
struct AttentionStats {
  double logit_max = 0, logit_absmax = 0, logit_rms = 0;  ///< of keys: a sink does not count
  /// Mean H and mean H / ln n over rows with n >= 2 keys, H in nats; with a sink, which is an outcome too,
  /// H / ln(n + 1). NaN with squared ReLU, whose weights are no distribution.
  double entropy = 0, entropy_norm = 0;
  double q_norm = 0, k_norm = 0;  ///< mean Euclidean norms
  double qk_cosine = 0;           ///< mean over visible pairs; 0 where a norm is 0
  double sink_share = 0;          ///< mean weight of the sink over rows with a key; 0 without
};

/// The one list of them, by the names of their metrics, attn/<layer>/<name>.
struct AttentionStat {
  const char* name;
  double AttentionStats::*value;
  bool of_distribution = false, of_sink = false;  ///< only where the weights are one; where there is one
};
constexpr AttentionStat kAttentionStats[] = {
    {"logit_max", &AttentionStats::logit_max},
    {"logit_absmax", &AttentionStats::logit_absmax},
    {"logit_rms", &AttentionStats::logit_rms},
    {"entropy", &AttentionStats::entropy, true},
    {"entropy_norm", &AttentionStats::entropy_norm, true},
    {"q_norm", &AttentionStats::q_norm},
    {"k_norm", &AttentionStats::k_norm},
    {"qk_cosine", &AttentionStats::qk_cosine},
    {"sink_share", &AttentionStats::sink_share, false, true},
};

/// LayerNorm of queries and keys: over each head (mean and variance of its K values), or over all heads
/// together.
struct QueryKeyNorm {
  const float *query_gain = nullptr, *key_gain = nullptr;  ///< null: no norm
  bool own_gains = false;                                  ///< gains [H, K] in place of [K]
  bool whole = false;                                      ///< statistics over H K values; gains are [H K]
  double eps = 1e-6;
};

struct AttentionProblem {
  std::int64_t batch = 0, heads = 0, queries = 0, keys = 0, width = 0;  ///< B, H, T, S, K
  bool causal = false;                          ///< query i sees keys j <= i + S - T only
  const std::int64_t* query_lengths = nullptr;  ///< [B]; queries from here on are left out of statistics
  const std::int64_t* key_lengths = nullptr;    ///< [B]; keys from here on are seen by nobody
  ScoreRule score;
  const float* sinks = nullptr;  ///< [H], logits; null: none. Softmax only.
  QueryKeyNorm norm;
  const float *cos = nullptr, *sin = nullptr;  ///< [positions, K/2]; null: no rotation
  Dropout dropout;  ///< of the weights; value ((b H + h) T + i) S + j multiplies a_ij
};

/// [B, tokens, H, K] inside a larger array: head h of token t of sequence b at data + b * sequence + t *
/// token + h * K.
template <class T>
struct Heads {
  T* data = nullptr;
  std::ptrdiff_t sequence = 0, token = 0;
};

/// out [B, T, H, K] contiguous, 0 for a query that sees nothing. The rest is for the way back. wide: out
/// before it was rounded to T (may be out itself when T is fp32): a row that looks at one key has a gradient
/// of zero only because <d out, out> cancels to the bit, and rounding would leave noise in its place. softmax
/// [B, H, T, 2]: the largest score, sink included, before s (after it with a soft cap) and log2 of the sum of
/// the weights relative to it, kept apart because the log of the denominator would round away the digits that
/// tell large scores apart; stats [H] or null.
template <class T>
void attention_forward(const AttentionProblem& problem, Heads<const T> q, Heads<const T> k, Heads<const T> v,
                       T* out, float* wide, float* softmax, AttentionStats* stats);

/// Gradients of q, k, v, and of the gains (null without norm) and sinks (null without); all overwritten.
template <class T>
void attention_backward(const AttentionProblem& problem, Heads<const T> q, Heads<const T> k, Heads<const T> v,
                        const float* wide, const float* softmax, const T* d_out, Heads<T> dq, Heads<T> dk,
                        Heads<T> dv, float* d_query_gain, float* d_key_gain, float* d_sinks);

}  // namespace evenkeel::kernels
