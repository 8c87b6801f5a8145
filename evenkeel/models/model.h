// What every model family offers the training loop.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "evenkeel/models/omega_fold.h"
#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"

namespace evenkeel::models {

/// What a model reads and is to predict; ids are int64.
struct Batch {
  at::Tensor inputs{};   ///< [B, T]
  at::Tensor targets{};  ///< [B*T]; -1: none. The model does not look at them.
  // Of sentence pairs alone.
  at::Tensor sources{};                    ///< [B, S], what the encoder reads
  at::Tensor source_lengths{}, lengths{};  ///< [B], of sources and inputs without padding; undefined: none
};

class Model : public nn::Module {
 public:
  /// -> logits [B*T, V], fp32 on the plain path, context.storage() on the fused. Throws InputError for ids
  /// outside the vocabulary or T too long.
  virtual at::Tensor forward(const Batch& batch, const nn::Context& context) const = 0;
  /// Of a language model: inputs [B, T].
  at::Tensor forward(const at::Tensor& inputs, const nn::Context& context) const {
    return forward(Batch{inputs}, context);
  }

  /// Of every sub-layer that has an omega of its own.
  virtual std::vector<OmegaFold> omega_folds() const { return {}; }
  /// Where the table is used elsewhere too: by name, what each stack's embedded tokens are multiplied by,
  /// [D]. Ones where the model has no such parameter (arch.embedding_scale).
  virtual std::map<std::string, at::Tensor> embedding_scales() const { return {}; }

  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;

  nn::Objective objective;  ///< what is minimised; interventions may add to it

 protected:
  /// The last step of every forward pass: caps the logits where the objective says so, and then reports the
  /// largest before.
  at::Tensor capped(const at::Tensor& logits, const nn::Context& context) const;
};

}  // namespace evenkeel::models
