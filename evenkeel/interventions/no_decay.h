// Parameters that weight decay spares: those whose name matches a pattern of interventions.no_decay. Decay
// shrinks embeddings, and the gradient of the norm that reads them grows as their size falls; Megatron-LM
// therefore spares them. Takase et al. 2023, arXiv 2312.16903.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Throws InputError for a pattern that no parameter matches. Comes after what declares parameters; does
/// nothing when off.
void apply_no_decay(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
