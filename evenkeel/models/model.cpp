#include "evenkeel/models/model.h"

#include <ATen/TensorOperators.h>

#include "evenkeel/ops/storage.h"

namespace evenkeel::models {

at::Tensor Model::capped(const at::Tensor& logits, const nn::Context& context) const {
  const double cap = objective.output_softcap;
  if (cap == 0) return logits;
  if (context.stats != nullptr)
    context.stats->scalar("logits/out/uncapped_absmax", logits.detach().abs().max().item<double>());
  // A new tensor in the end: the loss may overwrite it, and tanh keeps its own result for the way back.
  return (ops::wide(logits) / cap).tanh() * cap;
}

std::vector<nn::OpUse> Model::op_uses(const nn::Context&) const {
  if (objective.output_softcap == 0) return {};
  return {{"output_softcap", OpPath::kPlain, "a tanh per logit, in fp32", false}};
}

}  // namespace evenkeel::models
