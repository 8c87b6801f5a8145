// Attention sink: every row of the softmax has one more logit, without a key and a value, so that a head may
// look at nothing: a_ij = e^z_ij / (e^s + sum_j e^z_ij).
//
// off_by_one: s = 0 for all (Miller 2023, "Attention is off by one"); learnable: one s for each head, from 0
// (gpt-oss, arXiv 2508.10925). s is a logit as it enters the softmax: scale, temperature and soft cap do not
// touch it. Logits in records and QK-Clip leave it out; entropy counts it as an outcome, and
// attn/*/sink_share is how much of attention it gets. Fused.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Gives every nn::Attention below `root` a sink; does nothing when off.
void apply_attention_sink(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
