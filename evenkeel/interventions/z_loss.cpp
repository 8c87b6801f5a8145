#include "evenkeel/interventions/z_loss.h"

namespace evenkeel::interventions {

void apply_z_loss(nn::Objective& objective, const Experiment& experiment) {
  objective.z_coefficient = experiment.interventions.z_loss;
}

}  // namespace evenkeel::interventions
