// A trainer's tensors in and out of checkpoints.
#pragma once

#include <filesystem>
#include <vector>

#include "evenkeel/nn/module.h"
#include "evenkeel/optim/adamw.h"
#include "evenkeel/runs/checkpoint.h"

namespace evenkeel::train {

/// Parameters as bytes under their names; the views live as long as the parameters and are of their current
/// values.
std::vector<runs::TensorBytes> model_bytes(const std::vector<nn::Param*>& parameters);
/// Optimiser state as bytes under the names AdamW gives.
std::vector<runs::TensorBytes> optim_bytes(const optim::AdamW& optimiser);

/// Copies a checkpoint's tensors into parameters and optimiser. Throws InputError naming checkpoint and
/// tensor when one is missing, left over, or of another shape or type.
void load_state(const std::filesystem::path& checkpoint, const std::vector<nn::Param*>& parameters,
                optim::AdamW& optimiser);

}  // namespace evenkeel::train
