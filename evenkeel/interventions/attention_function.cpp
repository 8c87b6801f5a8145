#include "evenkeel/interventions/attention_function.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_attention_function(nn::Module& root, const Experiment& experiment) {
  if (experiment.interventions.attention_function == AttentionFunction::kSoftmax) return;
  nn::for_each_attention(root, [](nn::Attention& attention) {
    attention.set_weight_rule("attention_function", kernels::WeightRule::kSquaredRelu);
  });
}

}  // namespace evenkeel::interventions
