#include "evenkeel/models/decoder_lm.h"

#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::models {
// Children are named in the order in which they act, whatever is missing.
Block::Block(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer)
    : site_(fmt::format("layer{:02}", layer)),
      attn_residual_(
          add_child("", std::make_unique<nn::Residual>(plan[0], nn::norm_shape(arch), arch.dropout, "attn"))),
      attn_(add_child(
          "attn",
          std::make_unique<nn::Attention>(
              nn::AttentionShape{arch.D(), arch.H(), arch.context, arch.rope_base, arch.bias}, site_))),
      mlp_residual_(add_child("", std::make_unique<nn::Residual>(plan[1], nn::norm_shape(arch), arch.dropout,
                                                                 "mlp", &attn_residual_))),
      mlp_(add_child(
          "mlp", std::make_unique<nn::Mlp>(nn::MlpShape{arch.D(), arch.F(), arch.activation, arch.bias}))) {
  nn::equip(attn_, plan[0], nn::norm_shape(arch));
  nn::equip(mlp_, plan[1], nn::norm_shape(arch));
}

nn::Stream Block::forward(const nn::Stream& in, std::int64_t batch, const nn::Context& context) const {
  const nn::Stream middle = attn_residual_.forward(
      in, [&](const at::Tensor& u) { return attn_.forward(u, batch, context); }, context, in.x);
  nn::Stream out = mlp_residual_.forward(
      middle, [&](const at::Tensor& u) { return mlp_.forward(u, context); }, context, in.x);
  if (out.branch.defined()) out.site = site_;
  else if (context.stats != nullptr) context.stats->scalar("block/" + site_ + "/out_rms", ops::rms(out.x));
  return out;
}

void Block::add_to(OmegaFolds& folds) const {
  folds.add(attn_residual_, attn_.readers(false));
  folds.add(mlp_residual_, {&mlp_.fc1});
}

DecoderLm::DecoderLm(const ArchSpec& arch, std::int64_t vocab)
    : context_(arch.context),
      embed_(add_child("embed", std::make_unique<nn::Embedding>(vocab, arch.D()))),
      dropout_(add_child("embed_dropout", std::make_unique<nn::Dropout>(arch.dropout))) {
  const StackPlan plan = plan_stack(arch.residual, StackShape::alone(arch.L()), arch.init, arch.admin);
  embed_.weight.init_std *= plan.embedding_gain;
  for (std::int64_t layer = 0; layer < arch.L(); ++layer)
    blocks_.push_back(
        &add_child(fmt::format("blocks.{}", layer),
                   std::make_unique<Block>(arch, plan.layers[static_cast<std::size_t>(layer)], layer)));
  if (plan.final_norm)
    final_norm_ = &add_child("final_norm", std::make_unique<nn::Norm>(nn::norm_shape(arch)));
  head_ = &add_child("head", make_head(embed_, arch, vocab));
}

at::Tensor DecoderLm::forward(const Batch& in, const nn::Context& context) const {
  const at::Tensor& inputs = in.inputs;
  const std::int64_t batch = inputs.size(0), time = inputs.size(1);
  if (time > context_)
    throw InputError(
        fmt::format("[arch.context] must be at least the sequence length, got {} for sequences of {}; raise "
                    "arch.context",
                    context_, time));
  nn::Stream stream;
  stream.x = dropout_.forward(embed_.forward(inputs.reshape({batch * time}), context), context);
  for (const Block* block : blocks_) stream = block->forward(stream, batch, context);
  return capped(head_->forward(nn::read(stream, final_norm_, context), context), context);
}

std::vector<OmegaFold> DecoderLm::omega_folds() const {
  OmegaFolds folds(embed_.weight.name);
  for (const Block* block : blocks_) block->add_to(folds);
  return folds.all();
}

std::vector<nn::OpUse> DecoderLm::op_uses(const nn::Context& context) const {
  std::vector<nn::OpUse> uses = Model::op_uses(context);
  // That of the branches is part of the norms.
  if (dropout_.on()) uses.push_back({"embedding_dropout", OpPath::kPlain, "one product per value", true});
  return uses;
}

}  // namespace evenkeel::models
