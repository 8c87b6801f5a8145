// A trainer's tensors in and out of checkpoints.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/nn/module.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/runs/checkpoint.h"

namespace evenkeel::train {

/// Parameters and buffers as bytes under their names; the views are of their current values and live until
/// these are replaced.
std::vector<runs::TensorBytes> model_bytes(nn::Module& model);
/// Optimiser state as bytes under the names it gives.
std::vector<runs::TensorBytes> optim_bytes(const optim::Optimiser& optimiser);

/// Named fp32 tensors as bytes.
std::vector<runs::TensorBytes> tensor_bytes(const std::vector<std::pair<std::string, at::Tensor>>& named);

/// Copies a checkpoint's tensors into model and optimiser. Throws InputError naming checkpoint and tensor
/// when one is missing, left over, or of another shape or type.
void load_state(const std::filesystem::path& checkpoint, nn::Module& model, optim::Optimiser& optimiser);
/// The model's alone.
void load_model(const std::filesystem::path& checkpoint, nn::Module& model);
/// The optimiser's alone; Optimiser::set_steps is left to the caller.
void load_optimiser(const std::filesystem::path& checkpoint, optim::Optimiser& optimiser);
/// What telemetry carries on; false, and nothing done, when the checkpoint has none.
bool load_telemetry(const std::filesystem::path& checkpoint,
                    const std::vector<std::pair<std::string, at::Tensor>>& named);

}  // namespace evenkeel::train
