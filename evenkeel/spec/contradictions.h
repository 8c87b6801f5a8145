// Settings that exclude each other, or of which one leaves another without effect.
#pragma once

#include "evenkeel/spec/experiment.h"
#include "evenkeel/spec/given.h"

namespace evenkeel {

/// Throws InputError naming both sides and where each was given. `experiment` has its shape.
void refuse_contradictions(const Experiment& experiment, const Given& given);

}  // namespace evenkeel
