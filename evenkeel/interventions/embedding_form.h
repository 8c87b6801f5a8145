// What comes of the token embedding, whose rows are of size 1 / sqrt(D) per value at the start:
//
//   scale: x_0 = sqrt(D) W[id], so that the shortcut begins at size 1;    norm: x_0 = N(W[id])
//
// Small sub-layers beside a large shortcut keep gradients from exploding: Takase et al. 2023, arXiv
// 2312.16903
// ("scaled embed", "embed LN"). The norm is of the kind of arch.norm, stands before positions, and its gain
// is "embed.norm.gain". seq2seq multiplies by sqrt(D) without being asked (Vaswani et al. 2017).
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Of every nn::Embedding below `root`; does nothing when off.
void apply_embedding_form(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
