#include "evenkeel/interventions/output_softcap.h"

namespace evenkeel::interventions {

void apply_output_softcap(nn::Objective& objective, const Experiment& experiment) {
  objective.output_softcap = experiment.interventions.output_softcap;
}

}  // namespace evenkeel::interventions
