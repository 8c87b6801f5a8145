// z-loss: adds c times the mean of (log Z)^2 to the loss, so that the output logits cannot drift.
//
// Chowdhery et al. 2022 (arXiv 2204.02311); Wortsman et al. 2023 (arXiv 2309.14322) §3.1.2, c = 1e-4. Off: c
// = 0.
#pragma once

#include "evenkeel/nn/objective.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

void apply_z_loss(nn::Objective& objective, const Experiment& experiment);

}  // namespace evenkeel::interventions
