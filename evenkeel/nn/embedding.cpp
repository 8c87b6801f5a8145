#include "evenkeel/nn/embedding.h"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/embedding.h"

namespace evenkeel::nn {

Embedding::Embedding(std::int64_t vocab, std::int64_t width, double scale)
    : weight(add_param("weight", {vocab, width}, Role::kEmbedding, Init::kNormal,
                       1 / std::sqrt(static_cast<double>(width)))),
      scale_(scale) {
  weight.fan_in = vocab;
  weight.fan_out = width;
}

at::Tensor Embedding::forward(const at::Tensor& ids, const Context& context) const {
  const at::Tensor flat = ids.contiguous();
  const std::int64_t vocab = weight.value.size(0);
  if (const auto bad = ops::first_outside(flat, vocab))
    throw InputError(
        fmt::format("[data.vocab] must be above every token id, got id {} with vocab {}; raise data.vocab "
                    "or check the data",
                    *bad, vocab));
  const at::Tensor rows = context.fused() ? ops::embedding(weight.value, flat, scale_)
                                          : ops::embedding_plain(weight.value, flat, scale_);
  if (norm_ == nullptr) return rows;
  return context.fused() ? norm_->forward({rows, {}, {}, "", {}}, context, at::kFloat).y
                         : norm_->forward(rows);
}

void Embedding::set_scale(const std::string& name, double scale) {
  require_free("the scale of " + path(), scale_name_, name);
  scale_name_ = name;
  scale_ *= scale;
}

void Embedding::set_norm(const std::string& name, std::unique_ptr<Norm> norm) {
  require_free("the norm of " + path(), norm_name_, name);
  norm_name_ = name;
  norm_ = &add_child("norm", std::move(norm));
}

EmbeddingScale::EmbeddingScale(std::int64_t width)
    : gain(add_param("gain", {width}, Role::kGain, Init::kOnes)) {}

at::Tensor EmbeddingScale::forward(const at::Tensor& x) const {
  return x * gain.value;
}

std::vector<OpUse> EmbeddingScale::op_uses(const Context&) const {
  // The gradient of the gain is a sum over tokens, whose order is LibTorch's.
  return {{"embedding_scale", OpPath::kPlain, "one product per value", false}};
}

std::vector<OpUse> Embedding::op_uses(const Context& context) const {
  return {context.use("embedding", weight.value.scalar_type())};
}

}  // namespace evenkeel::nn
