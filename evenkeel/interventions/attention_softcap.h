// Soft cap of attention logits: z becomes c tanh(z / c), after scale and temperature and before the mask
// (Gemma 2, arXiv 2408.00118, c = 50).
//
// The slope is 1 - tanh^2: 0.42 at z = c and 2.5e-5 at 6 c, so a logit far beyond the cap hardly learns any
// more. Recorded logits are those that enter the softmax, below c.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Sets the cap of every nn::Attention below `root`; does nothing for 0.
void apply_attention_softcap(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
