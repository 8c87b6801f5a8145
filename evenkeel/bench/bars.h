// What evenkeel is to reach, and whether it did.
#pragma once

#include "evenkeel/base/json.h"

namespace evenkeel::bench {

/// Processor, instruction sets, cores, versions, and the settings of the environment that change speed.
Json machine();

/// One object per bar that something in `configs` was measured for: "config", "what", "measured", "bar" (with
/// "at_least" or "at_most"), "aim" or null, "pass", "applies" (false where the bar was set for other
/// machines, precisions or ops).
Json bars(const Json& configs, const Json& machine);

}  // namespace evenkeel::bench
