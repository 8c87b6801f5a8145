#include "evenkeel/models/model.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "evenkeel/ops/storage.h"
#include "evenkeel/spec/family.h"

namespace evenkeel::models {

Batch Batch::example(std::int64_t index) const {
  const auto one = [&](const at::Tensor& values, const at::Tensor& all_lengths) {
    if (!values.defined()) return values;
    const at::Tensor row = values.narrow(0, index, 1);
    return all_lengths.defined() ? row.narrow(1, 0, all_lengths[index].item<std::int64_t>()) : row;
  };
  Batch out;
  out.inputs = one(inputs, lengths);
  out.sources = one(sources, source_lengths);
  return out;
}

Batch Batch::first(std::int64_t count) const {
  const std::int64_t examples = inputs.size(0), kept = std::min(count, examples);
  const auto cut = [&](const at::Tensor& values, std::int64_t rows) {
    return values.defined() ? values.narrow(0, 0, rows) : values;
  };
  Batch out;
  out.inputs = cut(inputs, kept);
  if (targets.defined()) out.targets = cut(targets, kept * (targets.size(0) / examples));
  out.sources = cut(sources, kept);
  out.source_lengths = cut(source_lengths, kept);
  out.lengths = cut(lengths, kept);
  return out;
}

ops::Loss Model::loss(const at::Tensor& output, const Batch& batch, const nn::Objective& goal,
                      const nn::Context& context, const at::Tensor& occurring) const {
  const ops::LossSpec spec{goal.z_coefficient, goal.label_smoothing, occurring};
  return context.fused() ? ops::cross_entropy_(output, batch.targets, spec)
                         : ops::cross_entropy_plain(output, batch.targets, spec);
}

at::Tensor Model::capped(const at::Tensor& given, const nn::Context& context) const {
  const double cap = objective.output_softcap;
  const at::Tensor logits = objective.output_scale == 1 ? given : ops::wide(given) * objective.output_scale;
  if (cap == 0) return logits;
  if (context.stats != nullptr)
    context.stats->scalar("logits/out/uncapped_absmax", logits.detach().abs().max().item<double>());
  // A new tensor in the end: the loss may overwrite it, and tanh keeps its own result for the way back.
  return (ops::wide(logits) / cap).tanh() * cap;
}

std::unique_ptr<nn::Linear> make_head(nn::Embedding& embedding, const ArchSpec& arch, std::int64_t vocab) {
  if (arch.ties_head()) return std::make_unique<nn::Linear>(embedding.weight);
  const bool bias = arch.bias && family_row(arch.family).head_bias;
  return std::make_unique<nn::Linear>(arch.D(), vocab, bias, nn::Role::kHead);
}

std::vector<nn::OpUse> Model::op_uses(const nn::Context&) const {
  std::vector<nn::OpUse> uses;
  if (objective.output_scale != 1)
    uses.push_back({"output_scale", OpPath::kPlain, "a product per logit, in fp32", true});
  if (objective.output_softcap != 0)
    uses.push_back({"output_softcap", OpPath::kPlain, "a tanh per logit, in fp32", false});
  return uses;
}

}  // namespace evenkeel::models
