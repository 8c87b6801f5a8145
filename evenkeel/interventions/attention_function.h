// Pointwise attention: a_ij = max(0, z_ij)^2 / sqrt(T) in place of the softmax, T the length of the sequence
// (Wortsman et al. 2023, arXiv 2309.14322, E.11: logits grow without a softmax too).
//
// T is the number of keys without padding, and where a query sees the past only arch.context, which is the
// length of every sequence of a language model. Weights are no distribution: entropy, its bound and the
// collapse events, which go by it, are not recorded. Squared ReLU has no slope at 0 and below: a query whose
// logits are all negative gives nothing and learns nothing. A temperature divides logits as ever, so weights
// go with its inverse square. Fused.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Sets what makes the weights of every nn::Attention below `root`; does nothing for softmax.
void apply_attention_function(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
