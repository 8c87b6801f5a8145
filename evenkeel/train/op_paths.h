// Which path every op of a run takes and why: object "ops" of the manifest's environment
// (docs/formats/run_directory.md).
#pragma once

#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/models/model.h"
#include "evenkeel/spec/train.h"

namespace evenkeel::train {

/// Modules say it of themselves (nn::Module::op_uses); the loss is added, and `optimiser`
/// (optim::Optimiser::op_uses). Where two modules run the same op on different paths, the plain one is named.
Json op_paths(models::Model& model, const TrainSpec& train, const std::vector<nn::OpUse>& optimiser);

}  // namespace evenkeel::train
