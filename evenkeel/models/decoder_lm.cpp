#include "evenkeel/models/decoder_lm.h"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::models {
namespace {

nn::AttentionShape attention_shape(const ArchSpec& arch) {
  return {arch.D(), arch.H(), arch.context, arch.rope_base, arch.bias};
}

ops::Activation activation_of(const ArchSpec& arch) {
  switch (arch.activation) {
    case ActivationKind::kGeluErf:
      return ops::Activation::kGeluErf;
    case ActivationKind::kRelu:
      return ops::Activation::kRelu;
    default:
      return ops::Activation::kGeluTanh;
  }
}

}  // namespace

Block::Block(const ArchSpec& arch, std::int64_t layer)
    : site_(fmt::format("layer{:02}", layer)),
      activation_(activation_of(arch)),
      attn_norm_(add_child("attn_norm", std::make_unique<nn::LayerNorm>(arch.D(), arch.norm_eps, arch.bias))),
      attn_(add_child("attn", std::make_unique<nn::Attention>(attention_shape(arch), site_))),
      attn_dropout_(add_child("attn_dropout", std::make_unique<nn::Dropout>(arch.dropout))),
      mlp_norm_(add_child("mlp_norm", std::make_unique<nn::LayerNorm>(arch.D(), arch.norm_eps, arch.bias))),
      fc1_(add_child("mlp.fc1", std::make_unique<nn::Linear>(arch.D(), arch.F(), arch.bias))),
      fc2_(add_child("mlp.fc2", std::make_unique<nn::Linear>(arch.F(), arch.D(), arch.bias))),
      mlp_dropout_(add_child("mlp_dropout", std::make_unique<nn::Dropout>(arch.dropout))) {}

at::Tensor Block::forward(const at::Tensor& x, std::int64_t batch, const nn::Context& context) const {
  const at::Tensor attended = attn_.forward(attn_norm_.forward(x), batch, context);
  const at::Tensor middle = x + attn_dropout_.forward(attended, context);
  const at::Tensor out = middle + mlp_dropout_.forward(mlp(mlp_norm_.forward(middle), context), context);
  if (context.stats != nullptr) context.stats->scalar("block/" + site_ + "/out_rms", ops::rms(out));
  return out;
}

nn::Stream Block::forward(const nn::Stream& in, std::int64_t batch, const nn::Context& context) const {
  const ops::AddNormResult first = attn_norm_.forward(in, context);
  const at::Tensor attended = attn_.forward(first.y, batch, context);
  const ops::AddNormResult second =
      mlp_norm_.forward(nn::Stream{first.x, attended, attn_dropout_.at(context), ""}, context);
  return {second.x, mlp(second.y, context), mlp_dropout_.at(context), site_};
}

at::Tensor Block::mlp(const at::Tensor& x, const nn::Context& context) const {
  if (!context.fused()) return fc2_.forward(ops::activation(fc1_.forward(x, context), activation_), context);
  const std::vector<at::Tensor> matrices = nn::weights_in_use({&fc1_, &fc2_}, context);
  ops::MlpWeights weights{matrices[0], {}, matrices[1], {}, activation_};
  if (fc1_.bias != nullptr) {
    weights.b1 = fc1_.bias->value;
    weights.b2 = fc2_.bias->value;
  }
  return ops::fused_mlp(x, weights);
}

std::vector<nn::OpUse> Block::op_uses(const nn::Context& context) const {
  return {context.use("mlp", fc1_.weight.value.scalar_type())};
}

DecoderLm::DecoderLm(const ArchSpec& arch, std::int64_t vocab)
    : context_(arch.context),
      embed_(add_child("embed", std::make_unique<nn::Embedding>(vocab, arch.D()))),
      dropout_(add_child("embed_dropout", std::make_unique<nn::Dropout>(arch.dropout))) {
  for (std::int64_t layer = 0; layer < arch.L(); ++layer)
    blocks_.push_back(&add_child(fmt::format("blocks.{}", layer), std::make_unique<Block>(arch, layer)));
  final_norm_ = &add_child("final_norm", std::make_unique<nn::LayerNorm>(arch.D(), arch.norm_eps, arch.bias));
  head_ = &add_child("head", std::make_unique<nn::Linear>(arch.D(), vocab, arch.bias, nn::Role::kHead));
}

at::Tensor DecoderLm::forward(const at::Tensor& inputs, const nn::Context& context) const {
  const std::int64_t batch = inputs.size(0), time = inputs.size(1);
  if (time > context_)
    throw InputError(
        fmt::format("[arch.context] must be at least the sequence length, got {} for sequences of {}; raise "
                    "arch.context",
                    context_, time));
  at::Tensor h = dropout_.forward(embed_.forward(inputs.reshape({batch * time}), context), context);
  if (context.fused()) {
    nn::Stream stream{h, {}, {}, ""};
    for (const Block* block : blocks_) stream = block->forward(stream, batch, context);
    return head_->forward(final_norm_->forward(stream, context).y, context);
  }
  for (const Block* block : blocks_) h = block->forward(h, batch, context);
  return head_->forward(final_norm_->forward(h), context);
}

std::vector<nn::OpUse> DecoderLm::op_uses(const nn::Context&) const {
  if (!dropout_.on()) return {};
  // That of the branches is part of the norms.
  return {{"embedding_dropout", OpPath::kPlain, "one product per value", true}};
}

}  // namespace evenkeel::models
