#include "evenkeel/train/evaluate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>
#include <string>

#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::train {
namespace {

at::Tensor ids(const std::vector<std::int32_t>& values, at::IntArrayRef shape) {
  // from_blob only borrows and takes a pointer to non-const; the conversion to int64 copies at once.
  return at::from_blob(const_cast<std::int32_t*>(values.data()), shape, at::kInt).to(at::kLong);
}

/// Of all that modules measure, what the probe batch is looked at for, under its own keys.
class ProbeSink : public nn::StatSink {
 public:
  explicit ProbeSink(telemetry::Recorder& recorder) : recorder_(recorder) {}
  void heads(std::string_view key, std::vector<double> values) override {
    if (!key.starts_with("attn/")) return;
    const std::string own = "probe" + std::string(key.substr(4));
    if (telemetry::find_metric(own) != nullptr) recorder_.heads(own, std::span<const double>(values));
  }
  void scalar(std::string_view, double) override {}

 private:
  telemetry::Recorder& recorder_;
};

}  // namespace

void record_probe(const models::Model& model, const DeviceBatch& batch, nn::Context context,
                  telemetry::Recorder& recorder) {
  const c10::AutoGradMode no_grad(false);
  ProbeSink sink(recorder);
  context.stats = &sink;
  const at::Tensor logits = model.forward(batch, context);
  const at::Tensor counted = batch.targets.ge(0).nonzero().squeeze(1);
  recorder.scalar("probe/out/logit_max", logits.index_select(0, counted).max().item<double>());
}

DeviceBatch probe_batch(const data::Source& source, const Experiment& e) {
  constexpr std::int64_t kSequences = 16, kTokens = 1024;
  const auto loader = source.loader({e.arch.context, kSequences, std::max(kTokens, e.arch.context), 0});
  return to_device(loader->valid_batch(0, e.data.valid_tokens));
}

DeviceBatch to_device(const data::HostBatch& batch) {
  DeviceBatch out{ids(batch.inputs, {batch.rows, batch.cols}), ids(batch.targets, {batch.rows * batch.cols})};
  if (batch.sources.empty()) return out;
  out.sources = ids(batch.sources, {batch.rows, batch.source_cols});
  out.source_lengths = at::tensor(batch.source_lengths);
  out.lengths = at::tensor(batch.lengths);
  return out;
}

nn::Context pass_context(const TrainSpec& train) {
  nn::Context context;
  context.precision = train.precision;
  context.ops = train.ops;
  return context;
}

nn::Context pass_context(const Experiment& experiment, std::int64_t update) {
  nn::Context context = pass_context(experiment.train);
  context.temperature = changes_of(experiment).at(update).attention_temperature;
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
    const ops::Loss loss = model.loss(model.forward(batch, context), batch, {}, context);
    const auto n = std::count_if(host.targets.begin(), host.targets.end(), [](auto id) { return id >= 0; });
    sum += loss.ce * static_cast<double>(n);
    tokens += n;
  }
  return sum / static_cast<double>(tokens);
}

}  // namespace evenkeel::train
