// Decoder-only language model, by default pre-norm as in Wortsman et al. 2023 (arXiv 2309.14322) §2:
//
//   h = embed(ids);  per block  h += attn(LN(h)),  h += fc2(gelu(fc1(LN(h))));  logits = head(LN(h))
//
// How branches are added and where norms stand is arch.residual's (spec/residual.h); schemes without final
// norm have logits = head(h). LayerNorm with gain and no bias, no biases in linear layers (both unless
// arch.bias), rotary positions, GELU in tanh form, untied head. Embedding normal with std 1 / sqrt(D),
// matrices truncated normal with std 1 / sqrt(fan-in), unless arch.init or the scheme has them otherwise; the
// head always so. Dropout (off by default) after the embedding and at the end of both branches. Depth 0 is
// the zero-layer model: head(LN(embed(ids))).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/dropout.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/mlp.h"
#include "evenkeel/nn/norm.h"
#include "evenkeel/nn/residual.h"
#include "evenkeel/spec/arch.h"

namespace evenkeel::models {

/// The attention's sub-layer, then the MLP's.
class Block : public nn::Module {
 public:
  /// `plan` of this layer.
  Block(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer);
  /// Of [B*T, D] values; what comes out may still have the MLP's branch to add.
  nn::Stream forward(const nn::Stream& in, std::int64_t batch, const nn::Context& context) const;
  void add_to(OmegaFolds& folds) const;

 private:
  std::string site_;  ///< "layer00"
  nn::Residual& attn_residual_;
  nn::Attention& attn_;
  nn::Residual& mlp_residual_;
  nn::Mlp& mlp_;
};

class DecoderLm : public Model {
 public:
  /// `arch` resolved; vocab = V.
  DecoderLm(const ArchSpec& arch, std::int64_t vocab);
  using Model::forward;
  at::Tensor forward(const Batch& batch, const nn::Context& context) const override;
  std::vector<OmegaFold> omega_folds() const override;
  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;

 private:
  std::int64_t context_;
  nn::Embedding& embed_;
  nn::Dropout& dropout_;
  std::vector<Block*> blocks_;
  nn::Norm* final_norm_ = nullptr;  ///< null where the scheme has none
  nn::Linear* head_ = nullptr;
};

}  // namespace evenkeel::models
