// Weight normalisation: every row of every linear map uses g w / |w|, one trained g per row, g = |w| at the
// start.
//
// Salimans & Kingma 2016, arXiv 1602.07868; the ablation of sigma-reparam in Zhai et al. 2023 (arXiv
// 2303.06296) §4. A zero row counts as if |w| were 1. Off: no transform. It has no fused form: three passes
// over the weights forward and some more backward.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Fills the weight slot of every nn::Linear below `root` (parameters "<layer>.weight_norm.gamma" [out]);
/// does nothing when off.
void apply_weight_norm(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
