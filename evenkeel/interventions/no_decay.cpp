#include "evenkeel/interventions/no_decay.h"

#include "evenkeel/interventions/patterns.h"

namespace evenkeel::interventions {

void apply_no_decay(nn::Module& root, const Experiment& experiment) {
  for_each_match(root, "no_decay", experiment.interventions.no_decay,
                 [](nn::Param& param) { param.decay = 0; });
}

}  // namespace evenkeel::interventions
