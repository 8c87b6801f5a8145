#include "evenkeel/interventions/rms_scaled_lr.h"

namespace evenkeel::interventions {

void apply_rms_scaled_lr(nn::Module& root, const Experiment& experiment) {
  if (!experiment.interventions.rms_scaled_lr) return;
  for (nn::Param* param : root.parameters()) param->follows_rms = true;
}

}  // namespace evenkeel::interventions
