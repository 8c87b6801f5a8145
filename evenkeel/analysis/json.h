// The analysis as the JSON document that `evenkeel analyze --json` prints (docs/formats/analyze.md): stable
// keys; what cannot be computed is null with a sibling "why"; numbers that are not finite are "nan", "inf",
// "-inf".
#pragma once

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {

Json analysis_json(const Analysis& analysis);

}  // namespace evenkeel::analysis
