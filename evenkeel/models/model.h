// What every model family offers the training loop.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"
#include "evenkeel/nn/residual.h"

namespace evenkeel::models {

/// Where a sub-layer's omega can go when it is to be gone: omega x + f(x), with x = N(...) or an embedding,
/// is x' + f'(x') with omega in the gain and bias (or table) that x comes from, and the columns of the
/// matrices that read x divided by it. Exact; the model then has its scheme without omega.
struct OmegaFold {
  const nn::Residual* sublayer = nullptr;
  std::vector<const nn::Param*> producers;  ///< [..., D]
  std::vector<const nn::Linear*> readers;   ///< [out, D]
};

class Model : public nn::Module {
 public:
  /// inputs [B, T] int64 ids -> logits [B*T, V], fp32 on the plain path, context.storage() on the fused.
  /// Throws InputError for ids outside the vocabulary or T too long.
  virtual at::Tensor forward(const at::Tensor& inputs, const nn::Context& context) const = 0;

  /// Of every sub-layer that has an omega of its own.
  virtual std::vector<OmegaFold> omega_folds() const { return {}; }

  nn::Objective objective;  ///< what is minimised; interventions may add to it
};

}  // namespace evenkeel::models
