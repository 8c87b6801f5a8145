// Forced attention logits: every query and key vector is replaced by g(x) = sqrt(kappa) x / rms(x), rms over
// the K values of its head, whatever its length was.
//
// Wortsman et al. 2023, arXiv 2309.14322, Figure 10: which logits hurt, asked of a model that cannot shrink
// them. With the scale 1 / sqrt(K) logits of random directions have a standard deviation of kappa, and
// aligned vectors give kappa sqrt(K). No parameters; a vector of zeros stays zero. On the fused path the
// replacement runs plain, the attention itself on the kernels.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Fills the query and key slots of every nn::Attention below `root`; does nothing for 0.
void apply_kappa(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
