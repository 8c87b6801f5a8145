// The factor before the softmax: 1 / sqrt(K), or 1 / K, which keeps logits of aligned queries and keys of
// order one as the heads widen (Yang et al. 2022, arXiv 2203.03466; Wortsman et al. 2023, arXiv 2309.14322,
// E.6).
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Sets the scale of every nn::Attention below `root`; does nothing for 1 / sqrt(K).
void apply_attention_scale(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
