#include "evenkeel/models/decoder_lm.h"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/add_norm.h"
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

// Children are named in the order in which they act, whatever is missing.
Block::Block(const ArchSpec& arch, std::int64_t layer)
    : site_(fmt::format("layer{:02}", layer)),
      residual_(arch.residual),
      activation_(activation_of(arch)),
      attn_norm_(add_norm("attn_norm", arch)),
      attn_(add_child("attn", std::make_unique<nn::Attention>(attention_shape(arch), site_))),
      attn_dropout_(add_child("attn_dropout", std::make_unique<nn::Dropout>(arch.dropout))),
      mlp_norm_(add_norm("mlp_norm", arch)),
      fc1_(add_child("mlp.fc1", std::make_unique<nn::Linear>(arch.D(), arch.F(), arch.bias))),
      fc2_(add_child("mlp.fc2", std::make_unique<nn::Linear>(arch.F(), arch.D(), arch.bias))),
      mlp_dropout_(add_child("mlp_dropout", std::make_unique<nn::Dropout>(arch.dropout))) {}

nn::LayerNorm* Block::add_norm(const char* name, const ArchSpec& arch) {
  if (arch.residual == ResidualScheme::kNone) return nullptr;
  return &add_child(name, std::make_unique<nn::LayerNorm>(arch.D(), arch.norm_eps, arch.bias));
}

at::Tensor Block::forward(const at::Tensor& x, std::int64_t batch, const nn::Context& context) const {
  const bool before = residual_ == ResidualScheme::kPreLn, after = residual_ == ResidualScheme::kPostLn;
  const auto normed = [](const nn::LayerNorm* norm, const at::Tensor& h, bool here) {
    return here ? norm->forward(h) : h;
  };
  const at::Tensor attended = attn_.forward(normed(attn_norm_, x, before), batch, context);
  const at::Tensor middle = normed(attn_norm_, x + attn_dropout_.forward(attended, context), after);
  const at::Tensor branch = mlp_dropout_.forward(mlp(normed(mlp_norm_, middle, before), context), context);
  const at::Tensor out = normed(mlp_norm_, middle + branch, after);
  if (context.stats != nullptr) context.stats->scalar("block/" + site_ + "/out_rms", ops::rms(out));
  return out;
}

nn::Stream Block::forward(const nn::Stream& in, std::int64_t batch, const nn::Context& context) const {
  if (residual_ == ResidualScheme::kPreLn) {
    const ops::AddNormResult first = attn_norm_->forward(in, context);
    const at::Tensor attended = attn_.forward(first.y, batch, context);
    const ops::AddNormResult second =
        mlp_norm_->forward(nn::Stream{first.x, attended, attn_dropout_.at(context), ""}, context);
    return {second.x, mlp(second.y, context), mlp_dropout_.at(context), site_};
  }
  const auto stored = [&](const at::Tensor& h) { return h.to(context.storage()); };
  const at::Tensor middle =
      add(in.x, attn_.forward(stored(in.x), batch, context), attn_dropout_, attn_norm_, context);
  const at::Tensor out = add(middle, mlp(stored(middle), context), mlp_dropout_, mlp_norm_, context);
  if (context.stats != nullptr) context.stats->scalar("block/" + site_ + "/out_rms", ops::rms(out));
  return {out, {}, {}, ""};
}

at::Tensor Block::add(const at::Tensor& x, const at::Tensor& branch, const nn::Dropout& dropout,
                      const nn::LayerNorm* norm, const nn::Context& context) const {
  const nn::Stream sum{x, branch, dropout.at(context), ""};
  if (norm != nullptr) return norm->forward(sum, context, at::kFloat).y;
  ops::AddNormInputs in;
  in.x = x;
  in.f = branch;
  return ops::add_norm(in, {ops::NormKind::kNone}, sum.dropout).x;
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
  if (arch.residual == ResidualScheme::kPreLn)
    final_norm_ =
        &add_child("final_norm", std::make_unique<nn::LayerNorm>(arch.D(), arch.norm_eps, arch.bias));
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
    return head_->forward(
        final_norm_ != nullptr ? final_norm_->forward(stream, context).y : stream.x.to(context.storage()),
        context);
  }
  for (const Block* block : blocks_) h = block->forward(h, batch, context);
  return head_->forward(final_norm_ != nullptr ? final_norm_->forward(h) : h, context);
}

std::vector<nn::OpUse> DecoderLm::op_uses(const nn::Context&) const {
  if (!dropout_.on()) return {};
  // That of the branches is part of the norms.
  return {{"embedding_dropout", OpPath::kPlain, "one product per value", true}};
}

}  // namespace evenkeel::models
