#include "evenkeel/interventions/freeze.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "evenkeel/base/error.h"
#include "evenkeel/interventions/patterns.h"
#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_freeze(nn::Module& root, const Experiment& experiment) {
  const std::string& patterns = experiment.interventions.freeze;
  if (patterns.empty()) return;
  const auto refuse = [&](const std::string& why) {
    throw InputError(fmt::format("[interventions.freeze] = \"{}\": {}", patterns, why));
  };
  for_each_match(root, "freeze", patterns, [](nn::Param& param) {
    param.trainable = false;
    param.value.set_requires_grad(false);
  });
  const std::vector<nn::Param*> all = root.parameters();
  const auto frozen =
      std::count_if(all.begin(), all.end(), [](const nn::Param* param) { return !param->trainable; });
  if (frozen == std::ssize(all)) refuse("leaves nothing to train; leave a parameter out of the patterns");
  if (experiment.interventions.qk_clip == 0) return;
  nn::for_each_attention(root, [&](nn::Attention& attention) {
    for (const nn::Linear* layer : {&attention.q, &attention.k})
      if (!layer->weight.trainable)
        refuse(fmt::format("{} is frozen, and [interventions.qk_clip] changes it; leave one out",
                           layer->weight.name));
  });
}

}  // namespace evenkeel::interventions
