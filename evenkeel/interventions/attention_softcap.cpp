#include "evenkeel/interventions/attention_softcap.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_attention_softcap(nn::Module& root, const Experiment& experiment) {
  const double cap = experiment.interventions.attention_softcap;
  if (cap == 0) return;
  nn::for_each_attention(root,
                         [&](nn::Attention& attention) { attention.set_softcap("attention_softcap", cap); });
}

}  // namespace evenkeel::interventions
