#include "evenkeel/train/evaluate.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include "evenkeel/ops/cross_entropy.h"

namespace evenkeel::train {
namespace {

at::Tensor ids(const std::vector<std::int32_t>& values, at::IntArrayRef shape) {
  // from_blob only borrows and takes a pointer to non-const; the conversion to int64 copies at once.
  return at::from_blob(const_cast<std::int32_t*>(values.data()), shape, at::kInt).to(at::kLong);
}

}  // namespace

DeviceBatch to_device(const data::HostBatch& batch) {
  return {ids(batch.inputs, {batch.rows, batch.cols}), ids(batch.targets, {batch.rows * batch.cols})};
}

nn::Context pass_context(const TrainSpec& train) {
  nn::Context context;
  context.precision = train.precision;
  context.ops = train.ops;
  return context;
}

nn::Context pass_context(const Experiment& experiment, std::int64_t update) {
  nn::Context context = pass_context(experiment.train);
  const auto changed = changed_updates(experiment);
  if (changed && update >= changed->first && update <= changed->last)
    context.temperature = experiment.change.attention_temperature;
  return context;
}

double validation_loss(const models::Model& model, const data::Loader& loader, std::int64_t valid_tokens,
                       const nn::Context& context) {
  const c10::AutoGradMode no_grad(false);
  double sum = 0;
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < loader.valid_batches(valid_tokens); ++i) {
    const data::HostBatch host = loader.valid_batch(i, valid_tokens);
    const DeviceBatch batch = to_device(host);
    const at::Tensor logits = model.forward(batch.inputs, context);
    const auto loss = context.fused() ? ops::cross_entropy_(logits, batch.targets, {})
                                      : ops::cross_entropy(logits, batch.targets, 0);
    const std::int64_t n = host.rows * host.cols;
    sum += loss.ce * static_cast<double>(n);
    tokens += n;
  }
  return sum / static_cast<double>(tokens);
}

}  // namespace evenkeel::train
