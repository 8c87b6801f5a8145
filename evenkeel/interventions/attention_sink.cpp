#include "evenkeel/interventions/attention_sink.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_attention_sink(nn::Module& root, const Experiment& experiment) {
  const AttentionSink sink = experiment.interventions.attention_sink;
  if (sink == AttentionSink::kOff) return;
  nn::for_each_attention(
      root, [&](nn::Attention& attention) { attention.set_sink(sink == AttentionSink::kLearnable); });
}

}  // namespace evenkeel::interventions
