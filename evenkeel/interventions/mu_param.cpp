#include "evenkeel/interventions/mu_param.h"

#include <cmath>

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_mu_param(nn::Module& root, const Experiment& experiment) {
  const MuParam form = experiment.interventions.mu_param;
  if (form == MuParam::kOff) return;
  const MuOptions& options = experiment.interventions.mu;
  const double ratio = static_cast<double>(options.base_width) / static_cast<double>(experiment.arch.D());
  for (nn::Param* param : root.parameters()) {
    if (!param->is_matrix() || param->role == nn::Role::kEmbedding) continue;
    param->rate *= ratio;
    if (options.decay_with_rate) param->decay *= ratio;
    if (param->role == nn::Role::kHead && form != MuParam::kSimple) param->init_std *= std::sqrt(ratio);
  }
  if (form != MuParam::kFull) return;
  nn::for_each_attention(root, [](nn::Attention& attention) {
    attention.set_scale("mu_param", 1 / static_cast<double>(attention.shape().head_width()));
    attention.q.weight.init = nn::Init::kZeros;
  });
}

}  // namespace evenkeel::interventions
