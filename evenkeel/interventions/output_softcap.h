// Soft cap of the output logits: y becomes c tanh(y / c) (Gemma 2, arXiv 2408.00118, c = 30).
//
// The loss, z-loss included, is that of the capped logits, and so are logits/out/mean and logits/out/logz: a
// z-loss then sees no drift beyond the cap. logits/out/uncapped_absmax is the largest logit before.
#pragma once

#include "evenkeel/nn/objective.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

void apply_output_softcap(nn::Objective& objective, const Experiment& experiment);

}  // namespace evenkeel::interventions
