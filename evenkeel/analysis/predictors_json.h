// The document that `evenkeel predictors --json` prints (docs/formats/predictors.md): stable keys; what
// cannot be computed is null with a sibling "why".
#pragma once

#include "evenkeel/analysis/predictor_runs.h"
#include "evenkeel/analysis/predictors.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {

Json predictors_json(const Predictors& result, const PredictorRuns& runs);

}  // namespace evenkeel::analysis
