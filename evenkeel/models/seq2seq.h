// Encoder-decoder Transformer for translation (Vaswani et al. 2017, arXiv 1706.03762), as fairseq has it:
//
//   encoder   x = embed(source) sqrt(D) + positions;  per layer  self-attention, MLP
//   decoder   y = embed(bos, target) sqrt(D) + positions;  per layer  causal self-attention, attention to the
//             encoder's output, MLP;  logits = y E^T
//
// One table E for sources, targets and output, normal with std 1 / sqrt(D), its row of padding zero at the
// start. How branches are added is arch.residual's, in the decoder arch.decoder_residual's, for each stack as
// a stack of two (spec/residual.h); schemes with a final norm have one at the end of their stack. With
// arch.embedding_scale each stack multiplies its x_0, positions included, by a trained [D] of its own: what
// an Admin that was folded into post_ln needs, as the table, which the output uses too, cannot take its first
// omega. Where nothing else is said the family has post_ln, biases, ReLU, Xavier start, eps 1e-5 and no
// z-loss. Dropout (all off by default) of embeddings and branches, of attention weights, and after the
// activation. Nothing looks at padding, and the loss and statistics leave it out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/dropout.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/mlp.h"
#include "evenkeel/nn/norm.h"
#include "evenkeel/nn/positions.h"
#include "evenkeel/nn/residual.h"
#include "evenkeel/spec/arch.h"

namespace evenkeel::models {

/// What the decoder attends to: the encoder's output.
struct Memory {
  at::Tensor values;   ///< [B*S, D]
  at::Tensor lengths;  ///< [B] int64, tokens that are no padding; undefined: all S
};

class EncoderLayer : public nn::Module {
 public:
  /// `plan` of this layer: attention, MLP.
  EncoderLayer(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer);
  nn::Stream forward(const nn::Stream& in, const at::Tensor& lengths, std::int64_t batch,
                     const nn::Context& context) const;
  void add_to(OmegaFolds& folds) const;

 private:
  std::string site_;
  nn::Residual& attn_residual_;
  nn::Attention& attn_;
  nn::Residual& mlp_residual_;
  nn::Mlp& mlp_;
};

class DecoderLayer : public nn::Module {
 public:
  /// `plan` of this layer: attention, attention to the memory, MLP.
  DecoderLayer(const ArchSpec& arch, const std::vector<SubLayer>& plan, std::int64_t layer);
  nn::Stream forward(const nn::Stream& in, const at::Tensor& lengths, const Memory& memory,
                     std::int64_t batch, const nn::Context& context) const;
  void add_to(OmegaFolds& folds) const;

 private:
  std::string site_;
  nn::Residual& attn_residual_;
  nn::Attention& attn_;
  nn::Residual& cross_residual_;
  nn::Attention& cross_;
  nn::Residual& mlp_residual_;
  nn::Mlp& mlp_;
};

class Seq2Seq : public Model {
 public:
  /// `arch` resolved; vocab = V, ids as in PairIds.
  Seq2Seq(const ArchSpec& arch, std::int64_t vocab);
  using Model::forward;
  at::Tensor forward(const Batch& batch, const nn::Context& context) const override;

  /// sources [B, S] int64, lengths [B] or undefined.
  Memory encode(const at::Tensor& sources, const at::Tensor& lengths, const nn::Context& context) const;
  /// inputs [B, T] int64, lengths [B] or undefined -> logits [B*T, V].
  at::Tensor decode(const at::Tensor& inputs, const at::Tensor& lengths, const Memory& memory,
                    const nn::Context& context) const;

  /// The most tokens of either side.
  std::int64_t longest() const { return context_; }

  std::vector<OmegaFold> omega_folds() const override;
  std::map<std::string, at::Tensor> embedding_scales() const override;
  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override;
  void parameters_drawn(std::uint64_t seed) override;

 private:
  nn::Stream embed(const at::Tensor& ids, const nn::EmbeddingScale* scale, const nn::Dropout& dropout,
                   const nn::Context& context) const;

  std::int64_t context_;
  nn::Embedding& embed_;
  nn::SinusoidalPositions& positions_;
  nn::EmbeddingScale *source_scale_ = nullptr, *target_scale_ = nullptr;  ///< null without
  nn::Dropout &source_dropout_, &target_dropout_;
  std::vector<EncoderLayer*> encoder_;
  nn::Norm* encoder_norm_ = nullptr;  ///< null where the scheme has none
  std::vector<DecoderLayer*> decoder_;
  nn::Norm* decoder_norm_ = nullptr;
  nn::Linear* head_ = nullptr;
};

}  // namespace evenkeel::models
