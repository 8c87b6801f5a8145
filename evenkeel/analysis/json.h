// The analysis as the JSON document that `evenkeel analyze --json` prints (docs/formats/analyze.md): stable
// keys; what cannot be computed is null with a sibling "why"; numbers that are not finite stay so
// (base/json.h writes them).
#pragma once

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {

Json analysis_json(const Analysis& analysis);

/// {"value", "interval", "n"} and "why" where value or interval is missing.
Json estimate_json(const Estimate& e);

}  // namespace evenkeel::analysis
