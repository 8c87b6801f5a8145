// Validation: mean cross-entropy over the fixed validation set, without gradients, dropout or statistics.
#pragma once

#include <cstdint>

#include "evenkeel/data/source.h"
#include "evenkeel/models/model.h"
#include "evenkeel/spec/experiment.h"
#include "evenkeel/telemetry/recorder.h"

namespace evenkeel::train {

/// A host batch as tensors on the CPU.
using DeviceBatch = models::Batch;
DeviceBatch to_device(const data::HostBatch& batch);

/// How every pass of a run computes; what a training step needs on top is left at its default.
nn::Context pass_context(const TrainSpec& train);
/// The same in a pass of update number `update` (or after it), with the temperature that [change] gives it.
nn::Context pass_context(const Experiment& experiment, std::int64_t update);

/// Nats per token (the z-loss term excluded) over the first `valid_tokens` of the validation split. The same
/// set, in the same order, for every seed, arm and step.
double validation_loss(const models::Model& model, const data::Loader& loader, std::int64_t valid_tokens,
                       const nn::Context& context);

/// The same tokens for every size, seed, batch and step: the first 16 sequences of the validation text, or of
/// pairs the first batch of 1024 tokens; fewer where data.valid_tokens has fewer.
DeviceBatch probe_batch(const data::Source& source, const Experiment& experiment);

/// A forward pass over `batch`, without dropout, whose attention logits, entropies and largest output logit
/// are recorded as those of the probe batch.
void record_probe(const models::Model& model, const DeviceBatch& batch, nn::Context context,
                  telemetry::Recorder& recorder);

}  // namespace evenkeel::train
