// Weights out of a run and into one, as safetensors files that any tool reads.
//
// Folded weights are those of a plain model: what treatments of the weights compute (gamma / sigma W) stands
// in the place of W, Admin's omegas are in the norms, matrices and embedding around them (exactly: Liu et al.
// 2020, arXiv 2004.08249, Appendix C), which makes the model one of post_ln, and the own parameters and state
// of both are gone. Where the output uses the embedding's table too, as in seq2seq, the first omega of a
// stack becomes its embedding scale (arch.embedding_scale), and the table stays one; scales that are all 1
// are left out. Putting plain weights into a treated model makes the treatment start over from them, so that
// the function is that of the plain weights (gamma = sigma(W), omega = 1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/context.h"
#include "evenkeel/spec/interventions.h"

namespace evenkeel::train {

/// Name -> tensor in use: what treatments of the weights make of them, without their own parameters; omegas
/// and what else a residual scheme has stay as they are.
std::map<std::string, at::Tensor> treated_weights(nn::Module& model, const nn::Context& context);

/// Name -> tensor of the plain model that computes what `model` computes in evaluation. Throws InputError
/// when an omega is too small to be divided by, |omega| <= 1e-6.
std::map<std::string, at::Tensor> folded_weights(models::Model& model, const nn::Context& context);

struct Exported {
  std::int64_t step = 0;
  std::size_t tensors = 0;
  std::int64_t values = 0;
  std::vector<std::string> warnings;  ///< of load_run
};

/// Writes the weights of a checkpoint of `run` (the newest without `step`) to `file`: folded, or everything
/// under the model's own names. Throws InputError as load_run does, EnvironmentError when the disk refuses.
/// With `average` > 1 they are means as load_run makes them.
Exported export_weights(const std::filesystem::path& run, std::optional<std::int64_t> step,
                        std::int64_t average, bool fold, const std::filesystem::path& file);

/// Puts the plain weights of `file` into `model`; embedding scales that it lacks are 1. Throws InputError
/// naming the tensor when one is missing, left over, not finite, or of another shape or type (fp32 and bf16
/// are read).
void import_weights(const std::filesystem::path& file, models::Model& model);

/// Throws InputError when the file says that its weights were trained with a treatment that changes what they
/// compute and has no tensor (such as a soft cap), and `own` has it otherwise. Files of others say nothing.
void require_same_function(const std::filesystem::path& file, const InterventionsSpec& own);

}  // namespace evenkeel::train
