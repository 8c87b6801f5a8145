// The learning rate of every tensor is multiplied by max(RMS(p), 1e-3), its own root mean square: steps are
// relative to what they change (Adafactor, Shazeer & Stern 2018, arXiv 1804.04235; Wortsman et al. 2023,
// arXiv 2309.14322, Figure E.14).
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Makes the rate of every parameter below `root` follow its RMS; does nothing when off.
void apply_rms_scaled_lr(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
