// What is trained: the shape of the model. Source of the defaults: Wortsman et al. 2023 (arXiv 2309.14322)
// §2, in miniature; docs/guide/paper_and_miniature.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/config/field.h"
#include "evenkeel/spec/residual.h"

namespace evenkeel {

enum class Family { kDecoderLm, kSeq2Seq };
template <>
struct EnumNames<Family> {
  static constexpr std::array names{std::pair{Family::kDecoderLm, "decoder_lm"},
                                    std::pair{Family::kSeq2Seq, "seq2seq"}};
};

/// What the MLP does between its two matrices: GELU in tanh form or exact, or ReLU.
enum class ActivationKind { kGeluTanh, kGeluErf, kRelu };
template <>
struct EnumNames<ActivationKind> {
  static constexpr std::array names{std::pair{ActivationKind::kGeluTanh, "gelu_tanh"},
                                    std::pair{ActivationKind::kGeluErf, "gelu_erf"},
                                    std::pair{ActivationKind::kRelu, "relu"}};
};

/// One rung of a size ladder. Heads grow with the width, so the head width K = width / heads stays constant.
struct Rung {
  std::string name;
  std::int64_t width, depth, heads;
};

/// Whether the output has the embedding's matrix.
enum class HeadForm { kByFamily, kTied, kOwn };
template <>
struct EnumNames<HeadForm> {
  static constexpr std::array names{std::pair{HeadForm::kByFamily, "by_family"},
                                    std::pair{HeadForm::kTied, "tied"}, std::pair{HeadForm::kOwn, "own"}};
};

/// The named ladders: "mini" (K = 16, for CPUs) and "paper" (K = 64, the sizes of arXiv 2309.14322).
const std::vector<Rung>& ladder(const std::string& name);
std::vector<std::string> ladder_names();

struct ArchSpec {
  Family family = Family::kDecoderLm;
  std::string ladder = "mini";
  std::optional<std::string> size;  ///< after resolve: always set
  std::optional<std::int64_t> width, depth, heads, ffn_width;
  std::optional<std::int64_t> decoder_depth;  ///< of seq2seq; after resolve: set
  std::int64_t context = 128;
  ResidualScheme residual = ResidualScheme::kPreLn;
  std::optional<ResidualScheme> decoder_residual;  ///< of seq2seq; after resolve: set
  AdminSpec admin;
  bool embedding_scale = false;
  HeadForm head = HeadForm::kByFamily;
  NormType norm = NormType::kLayerNorm;
  MatrixInit init = MatrixInit::kFanIn;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool bias = false;
  double dropout = 0, attention_dropout = 0, activation_dropout = 0;
  double norm_eps = 1e-6;
  double rope_base = 10000;

  static void fields(auto& self, auto&& visit) {
    visit(
        "family", self.family,
        {.doc = "decoder_lm, or seq2seq: encoder and decoder for sentence pairs, which has residual post_ln, "
                "activation relu, bias true, init xavier and norm_eps 1e-5 where they are not given."});
    visit("ladder", self.ladder, {.doc = "Named size ladder that `size` refers to: mini or paper."});
    visit("size", self.size,
          {.doc = "Rung of the ladder, such as d64: sets width, depth and heads together. Leave it out to "
                  "give the "
                  "three yourself. auto: d64."});
    visit("width", self.width, {.doc = "D, the width of the residual stream.", .min = 2, .max = 1 << 16});
    visit("depth", self.depth,
          {.doc = "L, the number of blocks; 0 is the zero-layer (bigram) model. Of seq2seq: layers of the "
                  "encoder.",
           .min = 0,
           .max = 10000});
    visit("decoder_depth", self.decoder_depth,
          {.doc = "Of seq2seq: layers of the decoder. auto: depth.", .min = 1, .max = 10000});
    visit("heads", self.heads,
          {.doc = "H, attention heads per block; must divide width into an even head width.",
           .min = 1,
           .max = 1 << 15});
    visit("ffn_width", self.ffn_width,
          {.doc = "F, hidden width of the MLP. auto: 4 * width.", .min = 1, .max = 1 << 20});
    visit("context", self.context, {.doc = "T, tokens per sequence.", .min = 2, .max = 1 << 20});
    visit(
        "residual", self.residual,
        {.doc = "How branches are added and where the norms stand: pre_ln (before each branch and the head), "
                "post_ln "
                "(after each addition), none; or a scheme for depth (docs/reference/residual_schemes.md).",
         .source = "arXiv 2002.04745; spec/residual.h"});
    visit("decoder_residual", self.decoder_residual,
          {.doc = "Of seq2seq: the decoder's scheme, where it is not the encoder's. auto: residual.",
           .source = "arXiv 2004.08249, Table 1"});
    visit("admin", self.admin);
    visit("embedding_scale", self.embedding_scale,
          {.doc = "Of seq2seq: one trained number per channel and stack, from 1, that embedded tokens and "
                  "positions are multiplied by; models that Admin is folded into have it."});
    visit("head", self.head,
          {.doc = "The matrix of the output: tied, that of the embedding, without a bias; own; or by_family, "
                  "tied in seq2seq and "
                  "own in decoder_lm.",
           .source = "arXiv 1608.05859",
           .sparse = true});
    visit("norm", self.norm,
          {.doc = "Of the residual stream: layer_norm or rms_norm.", .source = "arXiv 1910.07467"});
    visit("init", self.init,
          {.doc = "Matrices inside blocks: fan_in (truncated normal, std 1 / sqrt(fan-in)) or xavier "
                  "(uniform, Q, K "
                  "and V as one matrix)."});
    visit("activation", self.activation,
          {.doc = "Of the MLP: gelu_tanh, gelu_erf (PyTorch's default GELU) or relu."});
    visit("bias", self.bias, {.doc = "Biases in linear layers and norms."});
    visit("dropout", self.dropout,
          {.doc = "Dropout probability after attention, MLP and embedding; 0 is off.", .min = 0, .max = 0.9});
    visit("attention_dropout", self.attention_dropout,
          {.doc = "Of seq2seq: dropout probability of attention weights.", .min = 0, .max = 0.9});
    visit("activation_dropout", self.activation_dropout,
          {.doc = "Of seq2seq: dropout probability after the MLP's activation.", .min = 0, .max = 0.9});
    visit("norm_eps", self.norm_eps, {.doc = "Epsilon inside every norm.", .min = 0});
    visit("rope_base", self.rope_base,
          {.doc = "Base of the rotary position frequencies.", .min = 1, .above_min = true});
  }

  std::int64_t D() const { return *width; }
  std::int64_t L() const { return *depth; }
  std::int64_t H() const { return *heads; }
  std::int64_t K() const { return *width / *heads; }
  std::int64_t F() const { return *ffn_width; }
  /// Whether the output has the embedding's matrix.
  bool ties_head() const;
  std::int64_t decoder_layers() const { return decoder_depth.value_or(*depth); }
  ResidualScheme decoder_scheme() const { return decoder_residual.value_or(residual); }
  bool has_scheme(ResidualScheme scheme) const { return residual == scheme || decoder_scheme() == scheme; }
  /// "post_ln", or of stacks that differ "post_ln/pre_ln".
  std::string scheme_text() const;
  /// N, the weights of the matrices of all layers, embedding and head excluded: 12 L D^2 of a decoder_lm with
  /// F = 4 D.
  std::int64_t params() const;
};

}  // namespace evenkeel
