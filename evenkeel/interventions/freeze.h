// Parameters that are not trained: those whose name matches one of the patterns in interventions.freeze
// ("embed.* *.q.weight"; * is any number of characters, ? is one). They get no gradient, no update, no decay,
// no optimiser state and no place in the clipped norm; they are saved with the model. A frozen patch
// projection: Chen, Xie & He 2021, arXiv 2104.02057.
#pragma once

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

/// Throws InputError for a pattern that no parameter matches, where nothing or all would be frozen, and for
/// queries or keys that QK-Clip is to change. Comes after what declares parameters; does nothing when off.
void apply_freeze(nn::Module& root, const Experiment& experiment);

}  // namespace evenkeel::interventions
