// Decoder-only language model, by default pre-norm as in Wortsman et al. 2023 (arXiv 2309.14322) §2:
//
//   h = embed(ids);  per block  h += attn(LN(h)),  h += fc2(gelu(fc1(LN(h))));  logits = head(LN(h))
//
// With arch.residual = post_ln h = LN(h + f(h)) and logits = head(h); with none there is no norm at all.
// LayerNorm with gain and no bias, no biases in linear layers (both unless arch.bias), rotary positions, GELU
// in tanh form, untied head. Embedding normal with std 1 / sqrt(D), matrices truncated normal with std 1 /
// sqrt(fan-in). Dropout (off by default) after the embedding and at the end of both branches. Depth 0 is the
// zero-layer model: head(LN(embed(ids))).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/dropout.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/norm.h"
#include "evenkeel/ops/activation.h"
#include "evenkeel/spec/arch.h"

namespace evenkeel::models {

/// The attention's branch, then the MLP's, each added as arch.residual says; x [B*T, D].
class Block : public nn::Module {
 public:
  Block(const ArchSpec& arch, std::int64_t layer);
  at::Tensor forward(const at::Tensor& x, std::int64_t batch, const nn::Context& context) const;
  /// The fused path: with pre_ln what comes out still has the MLP's branch to add.
  nn::Stream forward(const nn::Stream& in, std::int64_t batch, const nn::Context& context) const;
  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;

 private:
  nn::LayerNorm* add_norm(const char* name, const ArchSpec& arch);
  at::Tensor mlp(const at::Tensor& x, const nn::Context& context) const;
  /// The fused path without norm before the branch: x with the branch added, and normed with post_ln.
  at::Tensor add(const at::Tensor& x, const at::Tensor& branch, const nn::Dropout& dropout,
                 const nn::LayerNorm* norm, const nn::Context& context) const;

  std::string site_;  ///< "layer00"
  ResidualScheme residual_;
  ops::Activation activation_;
  nn::LayerNorm* attn_norm_;  ///< null without norms
  nn::Attention& attn_;
  nn::Dropout& attn_dropout_;
  nn::LayerNorm* mlp_norm_;
  nn::Linear &fc1_, &fc2_;
  nn::Dropout& mlp_dropout_;
};

class DecoderLm : public Model {
 public:
  /// `arch` resolved; vocab = V.
  DecoderLm(const ArchSpec& arch, std::int64_t vocab);
  at::Tensor forward(const at::Tensor& inputs, const nn::Context& context) const override;
  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;

 private:
  std::int64_t context_;
  nn::Embedding& embed_;
  nn::Dropout& dropout_;
  std::vector<Block*> blocks_;
  nn::LayerNorm* final_norm_ = nullptr;  ///< only with pre_ln
  nn::Linear* head_ = nullptr;
};

}  // namespace evenkeel::models
