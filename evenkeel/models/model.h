// What every model family offers the training loop.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "evenkeel/models/omega_fold.h"
#include "evenkeel/nn/context.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/objective.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/spec/arch.h"

namespace evenkeel::models {

/// What a model reads and is to predict; ids are int64.
struct Batch {
  at::Tensor inputs{};   ///< [B, T]
  at::Tensor targets{};  ///< [B*T]; -1: none. The model does not look at them.
  // Of sentence pairs alone.
  at::Tensor sources{};                    ///< [B, S], what the encoder reads
  at::Tensor source_lengths{}, lengths{};  ///< [B], of sources and inputs without padding; undefined: none

  /// What the model reads of one example, without padding and targets.
  Batch example(std::int64_t index) const;
  /// The first `count` examples, or all there are.
  Batch first(std::int64_t count) const;
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

  /// What the family minimises, from what forward() gave for the batch; on the fused path `output` may become
  /// its own gradient. Mean over the targets, nats per target. Here: cross-entropy of the logits with what
  /// `objective` adds. `occurring` [V] bool: ids whose mean logit is asked for; undefined: none.
  virtual ops::Loss loss(const at::Tensor& output, const Batch& batch, const nn::Objective& objective,
                         const nn::Context& context, const at::Tensor& occurring = {}) const;

  /// Of every sub-layer that has an omega of its own.
  virtual std::vector<OmegaFold> omega_folds() const { return {}; }
  /// Where the table is used elsewhere too: by name, what each stack's embedded tokens are multiplied by,
  /// [D]. Ones where the model has no such parameter (arch.embedding_scale).
  virtual std::map<std::string, at::Tensor> embedding_scales() const { return {}; }

  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;

  nn::Objective objective;  ///< what is minimised; interventions may add to it

 protected:
  /// The last step of every forward pass: scales and caps the logits where the objective says so; the
  /// largest before a cap is reported.
  at::Tensor capped(const at::Tensor& logits, const nn::Context& context) const;
};

/// From D to the vocabulary: a matrix of its own, or that of the embedding (arch.head).
std::unique_ptr<nn::Linear> make_head(nn::Embedding& embedding, const ArchSpec& arch, std::int64_t vocab);

}  // namespace evenkeel::models
