#include "evenkeel/interventions/mu_param.h"

#include <cmath>
#include <set>

#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/mlp.h"
#include "evenkeel/nn/residual.h"

namespace evenkeel::interventions {
namespace {

struct Ratios {
  double width, depth;  ///< of the model to the base
};
Ratios ratios(const Experiment& e) {
  const MuOptions& mu = e.interventions.mu;
  return {static_cast<double>(e.arch.D()) / static_cast<double>(mu.base_width),
          static_cast<double>(e.arch.L()) / static_cast<double>(mu.base_depth)};
}

void scale_scores(nn::Attention& attention) {
  attention.set_scale("mu_param", 1 / static_cast<double>(attention.shape().head_width()));
}

void apply_complete_p(nn::Module& root, nn::Objective& objective, const Experiment& experiment) {
  const auto [width, depth] = ratios(experiment);
  const double alpha = experiment.interventions.mu.alpha, deeper = std::pow(depth, alpha - 1);
  std::set<const nn::Param*> hidden;
  root.visit([&](nn::Module& module) {
    auto* residual = dynamic_cast<nn::Residual*>(&module);
    if (residual != nullptr) residual->set_branch_factor("mu_param", std::pow(depth, -alpha));
    if (residual == nullptr && dynamic_cast<nn::Attention*>(&module) == nullptr &&
        dynamic_cast<nn::Mlp*>(&module) == nullptr)
      return;
    for (const nn::Param* param : module.parameters()) hidden.insert(param);
  });
  // A factor sqrt(D) of the embedding becomes that of the base, or the table's updates would grow with the
  // width.
  root.visit([&](nn::Module& module) {
    auto* embedding = dynamic_cast<nn::Embedding*>(&module);
    if (embedding != nullptr && embedding->scale() != 1)
      embedding->set_scale("mu_param", 1 / std::sqrt(width));
  });
  for (nn::Param* param : root.parameters()) {
    if (hidden.count(param) > 0) {
      param->rate *= param->is_matrix() ? deeper / width : deeper;
      param->decay *= deeper;
    } else if (param->is_matrix()) {
      param->init_std *= std::sqrt(width);
    }
  }
  nn::for_each_attention(root, scale_scores);
  objective.output_scale /= width;
}

}  // namespace

void apply_mu_param(nn::Module& root, nn::Objective& objective, const Experiment& experiment) {
  const MuParam form = experiment.interventions.mu_param;
  if (form == MuParam::kOff) return;
  if (form == MuParam::kCompleteP) return apply_complete_p(root, objective, experiment);
  const double ratio = 1 / ratios(experiment).width;
  for (nn::Param* param : root.parameters()) {
    if (!param->is_matrix() || param->role == nn::Role::kEmbedding) continue;
    param->rate *= ratio;
    if (experiment.interventions.mu.decay_with_rate) param->decay *= ratio;
    if (param->role == nn::Role::kHead && form != MuParam::kSimple) param->init_std *= std::sqrt(ratio);
  }
  if (form != MuParam::kFull) return;
  nn::for_each_attention(root, [](nn::Attention& attention) {
    scale_scores(attention);
    attention.q.weight.init = nn::Init::kZeros;
  });
}

double embedding_width(const Experiment& experiment) {
  return static_cast<double>(experiment.interventions.mu_param == MuParam::kCompleteP
                                 ? experiment.interventions.mu.base_width
                                 : experiment.arch.D());
}

double mu_param_eps(const Experiment& experiment) {
  if (experiment.interventions.mu_param != MuParam::kCompleteP) return 1;
  const auto [width, depth] = ratios(experiment);
  return std::pow(depth, -experiment.interventions.mu.alpha) / width;
}

}  // namespace evenkeel::interventions
