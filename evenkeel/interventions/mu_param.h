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
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Sets rates, and with the larger forms the head, the scale of scores and the query matrices, of everything
/// below `root`; does nothing when off. The table that seq2seq shares with its output is an embedding.
void apply_mu_param(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
