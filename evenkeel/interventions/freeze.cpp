#include "evenkeel/interventions/freeze.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "evenkeel/base/error.h"
#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {

void apply_freeze(nn::Module& root, const Experiment& experiment) {
  const std::string& patterns = experiment.interventions.freeze;
  if (patterns.empty()) return;
  root.name_tree();
  const auto refuse = [&](const std::string& why) {
    throw InputError(fmt::format("[interventions.freeze] = \"{}\": {}", patterns, why));
  };
  std::istringstream words(patterns);
  for (std::string pattern; words >> pattern;) {
    bool matched = false;
    for (nn::Param* param : root.parameters()) {
      if (::fnmatch(pattern.c_str(), param->name.c_str(), 0) != 0) continue;
      matched = true;
      param->trainable = false;
      param->value.set_requires_grad(false);
    }
    if (!matched)
      refuse(
          fmt::format("no parameter matches \"{}\"; names are like blocks.0.attn.q.weight, and the first "
                      "record of heads.jsonl in a "
                      "run lists them as tensor/<name>/param_rms",
                      pattern));
  }
  const std::vector<nn::Param*> all = root.parameters();
  const auto frozen =
      std::count_if(all.begin(), all.end(), [](const nn::Param* param) { return !param->trainable; });
  if (frozen == 0) refuse("holds no pattern; leave it out to train everything");
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
