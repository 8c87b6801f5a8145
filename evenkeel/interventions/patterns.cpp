#include "evenkeel/interventions/patterns.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <sstream>

#include "evenkeel/base/error.h"

namespace evenkeel::interventions {

void for_each_match(nn::Module& root, const std::string& field, const std::string& patterns,
                    const std::function<void(nn::Param&)>& use) {
  if (patterns.empty()) return;
  root.name_tree();
  std::istringstream words(patterns);
  if (patterns.find_first_not_of(" \t\n") == std::string::npos)
    throw InputError(
        fmt::format("[interventions.{}] = \"{}\" holds no pattern; leave it out", field, patterns));
  for (std::string pattern; words >> pattern;) {
    bool matched = false;
    for (nn::Param* param : root.parameters()) {
      if (::fnmatch(pattern.c_str(), param->name.c_str(), 0) != 0) continue;
      matched = true;
      use(*param);
    }
    if (matched) continue;
    throw InputError(
        fmt::format("[interventions.{}] = \"{}\": no parameter matches \"{}\"; names are like "
                    "blocks.0.attn.q.weight, and the first record of heads.jsonl in a run lists them as "
                    "tensor/<name>/param_rms",
                    field, patterns, pattern));
  }
}

}  // namespace evenkeel::interventions
