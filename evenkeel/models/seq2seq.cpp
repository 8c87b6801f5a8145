#include "evenkeel/models/seq2seq.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/spec/data.h"

namespace evenkeel::models {
namespace {

constexpr const char *kSourceScale = "encoder.embed_scale", *kTargetScale = "decoder.embed_scale";

std::string scale_name(const char* module) {
  return std::string(module) + ".gain";
}

std::unique_ptr<nn::Residual> residual(const ArchSpec& arch, const SubLayer& record, const char* name,
                                       const nn::Residual* first = nullptr) {
  return std::make_unique<nn::Residual>(record, nn::norm_shape(arch), arch.dropout, name, first);
}

std::unique_ptr<nn::Attention> attention(const ArchSpec& arch, const SubLayer& record,
                                         const std::string& site) {
  nn::AttentionShape shape{arch.D(), arch.H(), arch.context, arch.rope_base, arch.bias};
  shape.rotary = false;
  shape.dropout = arch.attention_dropout;
  auto made = std::make_unique<nn::Attention>(shape, site);
  nn::equip(*made, record, nn::norm_shape(arch));
  return made;
}

std::unique_ptr<nn::Mlp> mlp(const ArchSpec& arch, const SubLayer& record) {
  auto made = std::make_unique<nn::Mlp>(
      nn::MlpShape{arch.D(), arch.F(), arch.activation, arch.bias, arch.activation_dropout});
  nn::equip(*made, record, nn::norm_shape(arch));
  return made;
}

// What comes out may still have the MLP's branch to add; the norm that adds it then reports.
nn::Stream reported(nn::Stream out, const std::string& site, const nn::Context& context) {
  if (out.branch.defined()) out.site = site;
  else if (context.stats != nullptr) context.stats->scalar("block/" + site + "/out_rms", ops::rms(out.x));
  return out;
}

}  // namespace

EncoderLayer::EncoderLayer(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer)
    : site_(fmt::format("encoder_layer{:02}", layer)),
      attn_residual_(add_child("", residual(arch, plan[0], "attn"))),
      attn_(add_child("attn", attention(arch, plan[0], site_))),
      mlp_residual_(add_child("", residual(arch, plan[1], "mlp", &attn_residual_))),
      mlp_(add_child("mlp", mlp(arch, plan[1]))) {}

nn::Stream EncoderLayer::forward(const nn::Stream& in, const at::Tensor& lengths, std::int64_t batch,
                                 const nn::Context& context) const {
  const nn::Sight sight{false, lengths, lengths};
  const nn::Stream middle = attn_residual_.forward(
      in, [&](const at::Tensor& u) { return attn_.forward(u, {}, sight, batch, context); }, context, in.x);
  return reported(mlp_residual_.forward(
                      middle, [&](const at::Tensor& u) { return mlp_.forward(u, context); }, context, in.x),
                  site_, context);
}

void EncoderLayer::add_to(OmegaFolds& folds) const {
  folds.add(attn_residual_, attn_.readers(false));
  folds.add(mlp_residual_, {&mlp_.fc1});
}

DecoderLayer::DecoderLayer(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer)
    : site_(fmt::format("decoder_layer{:02}", layer)),
      attn_residual_(add_child("", residual(arch, plan[0], "attn"))),
      attn_(add_child("attn", attention(arch, plan[0], site_))),
      cross_residual_(add_child("", residual(arch, plan[1], "cross", &attn_residual_))),
      cross_(add_child("cross", attention(arch, plan[1], fmt::format("cross_layer{:02}", layer)))),
      mlp_residual_(add_child("", residual(arch, plan[2], "mlp", &attn_residual_))),
      mlp_(add_child("mlp", mlp(arch, plan[2]))) {}

nn::Stream DecoderLayer::forward(const nn::Stream& in, const at::Tensor& lengths, const Memory& memory,
                                 std::int64_t batch, const nn::Context& context) const {
  const nn::Sight past{true, lengths, lengths}, source{false, lengths, memory.lengths};
  const nn::Stream first = attn_residual_.forward(
      in, [&](const at::Tensor& u) { return attn_.forward(u, {}, past, batch, context); }, context, in.x);
  const nn::Stream second = cross_residual_.forward(
      first, [&](const at::Tensor& u) { return cross_.forward(u, memory.values, source, batch, context); },
      context, in.x);
  return reported(mlp_residual_.forward(
                      second, [&](const at::Tensor& u) { return mlp_.forward(u, context); }, context, in.x),
                  site_, context);
}

void DecoderLayer::add_to(OmegaFolds& folds) const {
  folds.add(attn_residual_, attn_.readers(false));
  // Its keys and values are of the memory, which has no omega of this stack.
  folds.add(cross_residual_, cross_.readers(true));
  folds.add(mlp_residual_, {&mlp_.fc1});
}

// Children are named in the order in which they act, whatever is missing.
Seq2Seq::Seq2Seq(const ArchSpec& arch, std::int64_t vocab)
    : context_(arch.context),
      embed_(add_child("embed", std::make_unique<nn::Embedding>(vocab, arch.D(),
                                                                std::sqrt(static_cast<double>(arch.D()))))),
      positions_(add_child(
          "positions", std::make_unique<nn::SinusoidalPositions>(arch.context, arch.D(), PairIds::kPad + 1))),
      source_dropout_(add_child("encoder.embed_dropout", std::make_unique<nn::Dropout>(arch.dropout))),
      target_dropout_(add_child("decoder.embed_dropout", std::make_unique<nn::Dropout>(arch.dropout))) {
  const std::int64_t n = arch.L(), m = arch.decoder_layers();
  const StackPlan encoder = plan_stack(arch.residual, StackShape::encoder(n, m), arch.init, arch.admin),
                  decoder =
                      plan_stack(arch.decoder_scheme(), StackShape::decoder(n, m), arch.init, arch.admin);
  embed_.weight.init_std *= encoder.embedding_gain;
  if (arch.embedding_scale) {
    source_scale_ = &add_child(kSourceScale, std::make_unique<nn::EmbeddingScale>(arch.D()));
    target_scale_ = &add_child(kTargetScale, std::make_unique<nn::EmbeddingScale>(arch.D()));
  }
  for (std::int64_t i = 0; i < n; ++i)
    encoder_.push_back(
        &add_child(fmt::format("encoder.layers.{}", i),
                   std::make_unique<EncoderLayer>(arch, encoder.layers[static_cast<std::size_t>(i)], i)));
  if (encoder.final_norm)
    encoder_norm_ = &add_child("encoder.final_norm", std::make_unique<nn::Norm>(nn::norm_shape(arch)));
  for (std::int64_t i = 0; i < m; ++i)
    decoder_.push_back(
        &add_child(fmt::format("decoder.layers.{}", i),
                   std::make_unique<DecoderLayer>(arch, decoder.layers[static_cast<std::size_t>(i)], i)));
  if (decoder.final_norm)
    decoder_norm_ = &add_child("decoder.final_norm", std::make_unique<nn::Norm>(nn::norm_shape(arch)));
  head_ = &add_child("head", make_head(embed_, arch, vocab));
}

at::Tensor Seq2Seq::forward(const Batch& batch, const nn::Context& context) const {
  if (!batch.sources.defined())
    throw InputError(
        "[arch.family] = \"seq2seq\" reads sentence pairs, but these data have no sources; set "
        "data.kind to pairs or synthetic_pairs");
  return decode(batch.inputs, batch.lengths, encode(batch.sources, batch.source_lengths, context), context);
}

Memory Seq2Seq::encode(const at::Tensor& sources, const at::Tensor& lengths,
                       const nn::Context& context) const {
  nn::Stream stream = embed(sources, source_scale_, source_dropout_, context);
  for (const EncoderLayer* layer : encoder_)
    stream = layer->forward(stream, lengths, sources.size(0), context);
  return {nn::read(stream, encoder_norm_, context), lengths};
}

at::Tensor Seq2Seq::decode(const at::Tensor& inputs, const at::Tensor& lengths, const Memory& memory,
                           const nn::Context& context) const {
  nn::Stream stream = embed(inputs, target_scale_, target_dropout_, context);
  for (const DecoderLayer* layer : decoder_)
    stream = layer->forward(stream, lengths, memory, inputs.size(0), context);
  const at::Tensor y = nn::read(stream, decoder_norm_, context);
  return capped(head_->forward(y, context), context);
}

nn::Stream Seq2Seq::embed(const at::Tensor& ids, const nn::EmbeddingScale* scale, const nn::Dropout& dropout,
                          const nn::Context& context) const {
  const std::int64_t batch = ids.size(0), time = ids.size(1);
  if (time > context_)
    throw InputError(
        fmt::format("[arch.context] must be at least the length of a sentence, got {} for one of {}; raise "
                    "arch.context",
                    context_, time));
  at::Tensor x = positions_.forward(embed_.forward(ids.reshape({batch * time}), context), batch);
  if (scale != nullptr) x = scale->forward(x);
  nn::Stream stream;
  stream.x = dropout.forward(x, context);
  return stream;
}

std::vector<OmegaFold> Seq2Seq::omega_folds() const {
  OmegaFolds encoder(scale_name(kSourceScale)), decoder(scale_name(kTargetScale));
  for (const EncoderLayer* layer : encoder_) layer->add_to(encoder);
  for (const DecoderLayer* layer : decoder_) layer->add_to(decoder);
  std::vector<OmegaFold> all = encoder.all();
  all.insert(all.end(), decoder.all().begin(), decoder.all().end());
  return all;
}

std::map<std::string, at::Tensor> Seq2Seq::embedding_scales() const {
  const auto value = [&](const nn::EmbeddingScale* scale) {
    return scale != nullptr ? scale->gain.value.detach()
                            : at::ones({embed_.weight.value.size(1)}, embed_.weight.value.scalar_type());
  };
  return {{scale_name(kSourceScale), value(source_scale_)}, {scale_name(kTargetScale), value(target_scale_)}};
}

std::vector<nn::OpUse> Seq2Seq::op_uses(const nn::Context& context) const {
  std::vector<nn::OpUse> uses = Model::op_uses(context);
  uses.push_back({"positions", OpPath::kPlain, "one sum per value", true});
  if (source_dropout_.on())
    uses.push_back({"embedding_dropout", OpPath::kPlain, "one product per value", true});
  return uses;
}

void Seq2Seq::parameters_drawn(std::uint64_t /*seed*/) {
  const c10::AutoGradMode no_grad(false);
  embed_.weight.value.select(0, PairIds::kPad).zero_();
}

}  // namespace evenkeel::models
