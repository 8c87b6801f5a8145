// What every model family offers the training loop.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"

namespace evenkeel::models {

class Model : public nn::Module {
 public:
  /// inputs [B, T] int64 ids -> logits [B*T, V], fp32 on the plain path, context.storage() on the fused.
  /// Throws InputError for ids outside the vocabulary or T too long.
  virtual at::Tensor forward(const at::Tensor& inputs, const nn::Context& context) const = 0;

  nn::Objective objective;  ///< what is minimised; interventions may add to it
};

}  // namespace evenkeel::models
