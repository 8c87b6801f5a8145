// One training step: loss (cross-entropy + z-loss) -> gradients -> skip or clip -> optimiser, and what it
// records. The training loop and the benchmark make their steps here, so that what is timed is what trains.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/optim/gradient_guard.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/optim/schedule.h"
#include "evenkeel/spec/experiment.h"
#include "evenkeel/telemetry/recorder.h"
#include "evenkeel/train/evaluate.h"

namespace evenkeel::train {

/// What is recorded of a step besides loss, learning rate and gradient norm.
enum class Detail {
  kNone,    ///< telemetry is off
  kLogits,  ///< mean and log Z of the output logits
  kFull,    ///< and every number per head, layer and tensor
};

/// What a step found out; no number of it depends on the detail.
struct StepResult {
  double loss = 0;  ///< cross-entropy, nats per token, before the update
  std::optional<Json>
      nonfinite;                ///< the event when loss or gradient was not finite; then nothing was updated
  std::optional<Json> skipped;  ///< the event when the step was skipped; then nothing was updated either
  /// Normalised entropies per layer and head, for the collapse detector; empty lists unless kFull.
  std::vector<std::vector<double>> entropy_norm;
};

/// The optimiser's epsilon in update number `update`, with what CompleteP and [change] make of it.
double eps_of(const Experiment& experiment, std::int64_t update);

class Step {
 public:
  /// `experiment` resolved, `occurring` [m] int64 the ids that occur in training (for the mean logit). Keeps
  /// references to all but the last.
  Step(const Experiment& experiment, models::Model& model, optim::Optimiser& optimiser,
       telemetry::Recorder& recorder, const at::Tensor& occurring);

  /// Makes update number `step` (1 ...) from `batch`. The recorder then holds the record of this step.
  StepResult make(std::int64_t step, const DeviceBatch& batch, Detail detail);
  /// What clipping and skipping go by, to be saved.
  optim::GradientGuard& guard() { return guard_; }

 private:
  void update(double lr, const optim::ClipResult& clip, bool record);

  const Experiment& e_;
  models::Model& model_;
  std::vector<nn::Module*> modules_;  ///< all of the model
  optim::Optimiser& optimiser_;
  optim::Schedule schedule_;
  optim::GradientGuard guard_;
  telemetry::Recorder& recorder_;
  at::Tensor occurs_;  ///< [V] bool: ids that occur in training
};

}  // namespace evenkeel::train
