// The one step where models and interventions meet; neither knows the other.
#pragma once

#include <memory>

#include "evenkeel/models/model.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::train {

/// The family, every intervention that is on, parameters named and drawn from train.seed. `experiment` must
/// be resolved.
std::unique_ptr<models::Model> build_model(const Experiment& experiment);

}  // namespace evenkeel::train
