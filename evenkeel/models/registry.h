// From a resolved experiment to a model that is ready to train.
#pragma once

#include <memory>

#include "evenkeel/models/model.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::models {

/// The family alone: no interventions, parameters zero and unnamed. `experiment` must be resolved.
std::unique_ptr<Model> build_family(const Experiment& experiment);

}  // namespace evenkeel::models
