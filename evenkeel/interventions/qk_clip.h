// QK-Clip: after every update, the query and key matrices of a head whose largest logit S of that step
// exceeded tau are both multiplied by sqrt(tau / S) (Kimi K2, arXiv 2507.20534, with alpha = 1/2).
//
// S is the largest signed logit over the batch and its visible pairs, as it entered the softmax: the maximum
// that the attention pass has anyway. A head with S <= tau, S < 0 included, is left alone. The bound is one
// step late: it holds for the tokens of that step with the weights after it. The optimiser's moments stay.
// attn/*/qk_clip is tau / S or 1.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Has every nn::Attention below `root` clip; does nothing for 0.
void apply_qk_clip(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
