// muParam in the three forms that Wortsman et al. 2023 compare (arXiv 2309.14322, Figures 8 and E.5, after
// Yang et al. 2022, arXiv 2203.03466). r = base width / D, which is what the fan-in of every matrix is at the
// base width over what it is here:
//
//                        simple       intermediate    full
//   rate of matrices     r lr         r lr            r lr        (not of the embedding)
//   std of the head      s            sqrt(r) s       sqrt(r) s
//   scale of scores      1 / sqrt(K)  1 / sqrt(K)     1 / K
//   query matrices       drawn        drawn           zeros
//
// Whether decay follows the rate is mu.decay_with_rate: NanoDO multiplies the whole update, decay included;
// mu_transformer leaves the decay as it is. At D = base width only what "full" does to scores and queries is
// left. Under qk-norm queries of zero have a Jacobian of 1 / sqrt(norm_eps), a thousand: the first gradients
// of the query matrices may use up the global clip.
//
// complete_p scales with depth too, so that the same rate, decay and epsilon serve every size (Dey et al.
// 2025, arXiv 2505.01618; alpha = 0.5 is depth-muP). n = D / base width, l = L / base depth:
//
//   every branch times l^-alpha;  scores 1 / K;  logits times 1 / n
//   rates: matrices of blocks l^(alpha-1) / n, their gains and biases l^(alpha-1), the rest 1
//   decay inside blocks times l^(alpha-1), of optimisers whose decay stands apart from the rates (others are
//   refused); epsilon times l^-alpha / n
//   embedding and head are drawn as at the base width, and a factor sqrt(D) of the embedding is sqrt(base
//   width); matrices of blocks are drawn by their fan-in
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Sets rates, and with the larger forms the head, the scale of scores and the query matrices, of everything
/// below `root`; does nothing when off. The table that seq2seq shares with its output is an embedding.
void apply_mu_param(nn::Module& root, nn::Objective& objective, const Experiment& experiment);
/// The width that the size of the embedding's values goes by: the base's with complete_p, else D.
double embedding_width(const Experiment& experiment);
/// What complete_p multiplies optim.eps by; 1 without it.
double mu_param_eps(const Experiment& experiment);

}  // namespace evenkeel::interventions
