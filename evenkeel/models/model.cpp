#include "evenkeel/models/model.h"

#include <ATen/TensorOperators.h>

#include "evenkeel/ops/storage.h"

namespace evenkeel::models {

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
  const bool bias = arch.bias && arch.family == Family::kDecoderLm;  // fairseq has none there
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
