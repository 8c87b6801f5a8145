#include "evenkeel/interventions/registry.h"

#include "evenkeel/interventions/attention_function.h"
#include "evenkeel/interventions/attention_scale.h"
#include "evenkeel/interventions/attention_sink.h"
#include "evenkeel/interventions/attention_softcap.h"
#include "evenkeel/interventions/embedding_form.h"
#include "evenkeel/interventions/freeze.h"
#include "evenkeel/interventions/kappa.h"
#include "evenkeel/interventions/mu_param.h"
#include "evenkeel/interventions/no_decay.h"
#include "evenkeel/interventions/output_gate.h"
#include "evenkeel/interventions/output_softcap.h"
#include "evenkeel/interventions/qk_clip.h"
#include "evenkeel/interventions/qk_norm.h"
#include "evenkeel/interventions/rms_scaled_lr.h"
#include "evenkeel/interventions/sigma_reparam.h"
#include "evenkeel/interventions/weight_norm.h"
#include "evenkeel/interventions/z_loss.h"

namespace evenkeel::interventions {

const std::vector<Intervention>& all() {
  static const std::vector<Intervention> registry{
      // First, because it declares matrices that others treat.
      {"output_gate",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_output_gate(root, e); }},
      {"qk_norm", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_qk_norm(root, e); }},
      {"sigma_reparam",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_sigma_reparam(root, e); }},
      {"weight_norm",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_weight_norm(root, e); }},
      {"z_loss",
       [](nn::Module&, nn::Objective& objective, const Experiment& e) { apply_z_loss(objective, e); }},
      {"attention_scale",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_attention_scale(root, e); }},
      {"attention_softcap",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_attention_softcap(root, e); }},
      {"attention_sink",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_attention_sink(root, e); }},
      {"attention_function",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_attention_function(root, e); }},
      {"kappa", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_kappa(root, e); }},
      {"qk_clip", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_qk_clip(root, e); }},
      {"output_softcap", [](nn::Module&, nn::Objective& objective,
                            const Experiment& e) { apply_output_softcap(objective, e); }},
      {"mu_param", [](nn::Module& root, nn::Objective& objective,
                      const Experiment& e) { apply_mu_param(root, objective, e); }},
      {"rms_scaled_lr",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_rms_scaled_lr(root, e); }},
      {"embedding",
       [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_embedding_form(root, e); }},
      // Last, because they go by the names of what the others have declared.
      {"freeze", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_freeze(root, e); }},
      {"no_decay", [](nn::Module& root, nn::Objective&, const Experiment& e) { apply_no_decay(root, e); }}};
  return registry;
}

}  // namespace evenkeel::interventions
