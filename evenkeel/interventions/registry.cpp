#include "evenkeel/interventions/registry.h"

#include "evenkeel/interventions/qk_norm.h"
#include "evenkeel/interventions/sigma_reparam.h"
#include "evenkeel/interventions/weight_norm.h"
#include "evenkeel/interventions/z_loss.h"

namespace evenkeel::interventions {

const std::vector<Intervention>& all() {
  static const std::vector<Intervention> registry{
      {"qk_norm", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_qk_norm(root, e); }},
      {"sigma_reparam",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_sigma_reparam(root, e); }},
      {"weight_norm",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_weight_norm(root, e); }},
      {"z_loss",
       [](nn::Module&, nn::Objective& objective, const Experiment& e) { apply_z_loss(objective, e); }}};
  return registry;
}

}  // namespace evenkeel::interventions
