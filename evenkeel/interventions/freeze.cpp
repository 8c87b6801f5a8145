#include "evenkeel/interventions/freeze.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <sstream>

#include "evenkeel/base/error.h"

namespace evenkeel::interventions {

void apply_freeze(nn::Module& root, const Experiment& experiment) {
  const std::string& patterns = experiment.interventions.freeze;
  if (patterns.empty()) return;
  root.name_tree();
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
      throw InputError(
          fmt::format("[interventions.freeze] = \"{}\": no parameter matches \"{}\"; names are like "
                      "blocks.0.attn.q.weight, and the first "
                      "record of heads.jsonl in a run lists them as tensor/<name>/param_rms",
                      patterns, pattern));
  }
}

}  // namespace evenkeel::interventions
