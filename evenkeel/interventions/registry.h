// Every treatment the program knows. To add one: a field in spec/interventions.h, a pair of files here, a
// line in registry.cpp, a row in reference/treatments.cpp.
#pragma once

#include <vector>

#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::interventions {

struct Intervention {
  const char* field;  ///< its field in [interventions]
  /// Changes the model through the slots of nn modules and the objective; does nothing when off. Called once,
  /// before parameters are named and drawn.
  void (*apply)(nn::Module& root, nn::Objective& objective, const Experiment& experiment);
};

const std::vector<Intervention>& all();

}  // namespace evenkeel::interventions
