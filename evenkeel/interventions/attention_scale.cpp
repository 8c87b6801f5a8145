#include "evenkeel/interventions/attention_scale.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_attention_scale(nn::Module& root, const Experiment& experiment) {
  if (experiment.interventions.attention_scale == AttentionScale::kRootWidth) return;
  nn::for_each_attention(root, [](nn::Attention& attention) {
    attention.set_scale("attention_scale", 1 / static_cast<double>(attention.shape().head_width()));
  });
}

}  // namespace evenkeel::interventions
