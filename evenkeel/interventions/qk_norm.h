// qk-norm: LayerNorm of every query and key vector before the rotation and the dot product.
//
//   q <- g_q LN(q),  k <- g_k LN(k);  per_head: statistics over K, one gain [K] shared by the heads of a
//   layer; per_head_own: statistics over K, one gain [H, K]; whole_dim: statistics and gain over D, before
//   the split.
//
// Gilmer et al. 2023 / Dehghani et al. 2023 (arXiv 2302.05442); Wortsman et al. 2023 (arXiv 2309.14322)
// §3.1.1 and E.8. With the statistics per head, |logit| <= sqrt(K) max|g_q| max|g_k|. Queries and keys have
// gains of their own; no bias. Off: the slot of the attention module stays empty.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Fills the query and key slots of every nn::Attention below `root` (parameters "attn.q_norm.gain",
/// "attn.k_norm.gain"); does nothing when off.
void apply_qk_norm(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
