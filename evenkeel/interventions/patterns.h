// Parameters by the patterns of their names, as users write them: "embed.* *.q.weight".
#pragma once

#include <functional>
#include <string>

#include "evenkeel/nn/module.h"

namespace evenkeel::interventions {

/// Calls `use` for every parameter below `root` whose name matches one of the `patterns`, which spaces
/// separate (* is any number of characters, ? is one). Names the tree. Throws InputError, naming
/// interventions.`field`, for a pattern that nothing matches, or none at all.
/// Nothing when `patterns` is empty.
void for_each_match(nn::Module& root, const std::string& field, const std::string& patterns,
                    const std::function<void(nn::Param&)>& use);

}  // namespace evenkeel::interventions
