#include "evenkeel/interventions/output_gate.h"

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_output_gate(nn::Module& root, const Experiment& experiment) {
  const OutputGate gate = experiment.interventions.output_gate;
  if (gate == OutputGate::kOff) return;
  nn::for_each_attention(
      root, [&](nn::Attention& attention) { attention.set_output_gate(gate == OutputGate::kElementwise); });
}

}  // namespace evenkeel::interventions
