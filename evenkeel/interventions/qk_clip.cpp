#include "evenkeel/interventions/qk_clip.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_qk_clip(nn::Module& root, const Experiment& experiment) {
  const double tau = experiment.interventions.qk_clip;
  if (tau == 0) return;
  nn::for_each_attention(root, [&](nn::Attention& attention) { attention.set_qk_clip(tau); });
}

}  // namespace evenkeel::interventions
