// sigma-reparam: every linear map uses gamma / sigma(W) W instead of W, gamma trained, sigma the largest
// singular value of W (Zhai et al. 2023, arXiv 2303.06296; the mathematics is in ops/sigma_reparam.h).
//
// Off: no transform. spectral_norm keeps gamma at its start (Miyato et al. 2018, arXiv 1802.05957);
// stats_only uses W itself and only follows sigma. The state u, v, sigma is saved with the model and stands
// still between optimiser steps, so several forward passes, evaluation and a backward pass all see one sigma;
// with update = per_forward it moves in every training pass as in the released code, and an evaluation takes
// an iteration of its own that it forgets. Embeddings and biases are left alone, and so is a table
// that the head is tied to, unless sigma.tied_head: then the head uses the reparametrised one and the
// embedding the table itself. Cost per step and matrix: one pass over W per iteration, one to scale it, two
// in the backward pass; nothing the size of activations.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Fills the weight slot of every nn::Linear below `root` (parameters "<layer>.sigma_reparam.gamma"; queries,
/// keys and values by interventions.sigma.qkv: "attn.qkv.sigma_reparam.gamma", ...); does nothing when off.
void apply_sigma_reparam(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
