// Attention output gate: what a head gives is multiplied by sigmoid(x W_g) before W_o, x what its queries
// read (Qiu et al. 2025, arXiv 2505.06708).
//
// headwise: one factor for each head; elementwise: one for each of its values. W_g is drawn as arch.init
// says, so gates start about one half. attn/*/gate_mean and gate_closed (the share below 0.1) show what
// they do. The gate runs plain on both paths.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Gives every nn::Attention below `root` a gate; does nothing when off. Comes before treatments of all
/// matrices, which treat W_g too.
void apply_output_gate(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
