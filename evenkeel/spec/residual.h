// Residual and normalisation schemes as data: what every residual sub-layer of a stack does around its branch
// f, and how the branch's matrices start. With N a norm of its own each time (arch.norm),
//
//   u = c N(x) or x;    y = omega x + s N(f(u)) or omega x + s f(u) (+ the layer's input);    out = N(y) or y
//
//   scheme             sub-layer                start of the matrices, what else it needs arXiv
//   pre_ln             x + f(N(x))              final norm                               2002.04745
//   post_ln            N(x + f(x))                                                       1706.03762
//   none               x + f(x)                                                          2303.06296
//   admin              N(omega x + f(x))        omega [D], see AdminSpec                 2004.08249
//   ds_init            N(x + f(x))              all l^(-1/2), as in the paper            1908.11365
//                                               (its code has l^(-1/4))
//   fixup              x + s f(x), s [1] from 1 q, k, v P^(-1/6), W1 P^(-1/2), o, W2 0   1901.09321
//                                               (P branches in the model); scalar biases
//   t_fixup            x + f(x)                 v, o, W1, W2 and embedding               T-Fixup, 2020
//   rezero             x + s f(x), s [1] from 0 s one per layer                          2003.04887
//   skip_init          x + s f(x), s [1] from 0                                          2002.10444
//   layer_scale        x + s f(N(x)), s [D]     s by depth; final norm                   2103.17239
//   deepnorm           N(alpha x + f(x))        v, o, W1, W2 beta                        2203.00555
//   sandwich_ln        x + N(f(N(x)))           o, W2 (sub-layers)^(-1/2); final norm    2105.13290
//   peri_ln            x + N(f(N(x)))           final norm                               2502.02732
//   b2t                N(x + f(x))              a layer's last sub-layer adds            2206.00330
//                                               the layer's input inside
//   sub_ln             x + f(N(x))              f normed before its last matrix;         2210.06423
//                                               v, o, W1, W2 gamma; final norm
//   mix_ln             post_ln, later pre_ln    post_ln in the first quarter; final norm 2412.13795
//   layernorm_scaling  x + f(l^(-1/2) N(x))     final norm                               2502.05795
//
// A factor of the start multiplies what arch.init draws. W1 and W2 are the MLP's first and last matrix, o the
// attention's last; q, k and v its first. N stands for a norm with parameters of its own in each place.
//
// l counts layers from 1. Plans are made per stack, so that the two of an encoder-decoder may differ.
#pragma once

#include <cstdint>
#include <vector>

#include "evenkeel/config/field.h"

namespace evenkeel {

enum class ResidualScheme {
  kPreLn,
  kPostLn,
  kNone,
  kAdmin,
  kDsInit,
  kFixup,
  kTFixup,
  kReZero,
  kSkipInit,
  kLayerScale,
  kDeepNorm,
  kSandwichLn,
  kPeriLn,
  kB2t,
  kSubLn,
  kMixLn,
  kLayerNormScaling
};
template <>
struct EnumNames<ResidualScheme> {
  static constexpr std::array names{std::pair{ResidualScheme::kPreLn, "pre_ln"},
                                    std::pair{ResidualScheme::kPostLn, "post_ln"},
                                    std::pair{ResidualScheme::kNone, "none"},
                                    std::pair{ResidualScheme::kAdmin, "admin"},
                                    std::pair{ResidualScheme::kDsInit, "ds_init"},
                                    std::pair{ResidualScheme::kFixup, "fixup"},
                                    std::pair{ResidualScheme::kTFixup, "t_fixup"},
                                    std::pair{ResidualScheme::kReZero, "rezero"},
                                    std::pair{ResidualScheme::kSkipInit, "skip_init"},
                                    std::pair{ResidualScheme::kLayerScale, "layer_scale"},
                                    std::pair{ResidualScheme::kDeepNorm, "deepnorm"},
                                    std::pair{ResidualScheme::kSandwichLn, "sandwich_ln"},
                                    std::pair{ResidualScheme::kPeriLn, "peri_ln"},
                                    std::pair{ResidualScheme::kB2t, "b2t"},
                                    std::pair{ResidualScheme::kSubLn, "sub_ln"},
                                    std::pair{ResidualScheme::kMixLn, "mix_ln"},
                                    std::pair{ResidualScheme::kLayerNormScaling, "layernorm_scaling"}};
};

/// LayerNorm (Ba et al. 2016, arXiv 1607.06450) or RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467).
enum class NormType { kLayerNorm, kRmsNorm };
template <>
struct EnumNames<NormType> {
  static constexpr std::array names{std::pair{NormType::kLayerNorm, "layer_norm"},
                                    std::pair{NormType::kRmsNorm, "rms_norm"}};
};

/// How the matrices inside blocks are drawn: truncated normal of std 1 / sqrt(fan-in), or Xavier uniform with
/// queries, keys and values as one [3D, D] matrix (std 1 / sqrt(2D) each), as fairseq draws them.
enum class MatrixInit { kFanIn, kXavier };
template <>
struct EnumNames<MatrixInit> {
  static constexpr std::array names{std::pair{MatrixInit::kFanIn, "fan_in"},
                                    std::pair{MatrixInit::kXavier, "xavier"}};
};

/// Where Admin's omega starts. profile: omega_i^2 = Var[x_0] + sum_{j<i} Var[f_j], each branch measured with
/// the omegas before it in place (the released code); paper_profile: the same with omega = 1 in the pass that
/// measures (Liu et al. 2020); of admin-torch, with n the stack's sub-layers: o_log_n
/// omega^2 = (n + 1) / ln(n + 1) - 1, o_1 omega^2 = n, o_n omega = 1.
enum class AdminStart { kProfile, kPaperProfile, kLogN, kOne, kN };
template <>
struct EnumNames<AdminStart> {
  static constexpr std::array names{std::pair{AdminStart::kProfile, "profile"},
                                    std::pair{AdminStart::kPaperProfile, "paper_profile"},
                                    std::pair{AdminStart::kLogN, "o_log_n"},
                                    std::pair{AdminStart::kOne, "o_1"}, std::pair{AdminStart::kN, "o_n"}};
};

/// A trained number per channel, the same kept as it started, or one trained number.
enum class AdminOmega { kVector, kFrozen, kScalar };
template <>
struct EnumNames<AdminOmega> {
  static constexpr std::array names{std::pair{AdminOmega::kVector, "vector"},
                                    std::pair{AdminOmega::kFrozen, "frozen"},
                                    std::pair{AdminOmega::kScalar, "scalar"}};
};

/// How Admin is done; means nothing with another scheme.
struct AdminSpec {
  AdminStart start = AdminStart::kProfile;
  AdminOmega omega = AdminOmega::kVector;
  bool profile_dropout = true, profile_padding = true;

  /// Whether omega is measured on the first training batch.
  bool profiles() const { return start == AdminStart::kProfile || start == AdminStart::kPaperProfile; }

  static void fields(auto& self, auto&& visit) {
    visit("start", self.start,
          {.doc = "Where omega starts: profile (measured on the first batch, as the released code does), "
                  "paper_profile "
                  "(measured with omega = 1), or without measuring o_log_n, o_1, o_n.",
           .source = "arXiv 2004.08249; microsoft/admin-torch"});
    visit("omega", self.omega,
          {.doc = "vector (one trained number per channel), frozen (the same, not trained) or scalar (one "
                  "trained number)."});
    visit("profile_dropout", self.profile_dropout,
          {.doc = "Whether dropout is on while the profile is measured."});
    visit("profile_padding", self.profile_padding,
          {.doc = "Of seq2seq: whether positions of padding count in the profile's variances, as in the "
                  "released code."});
  }
};

enum class BranchKind { kSelfAttention, kCrossAttention, kMlp };

/// A multiplier of the shortcut or of the branch.
struct Scale {
  enum class Shape { kNone, kNumber, kChannels };
  Shape shape = Shape::kNone;
  double start = 1;
  bool trained = true;    ///< else kept, and saved with the model unless it is a number that the plan knows
  bool in_layer = false;  ///< one for all sub-layers of a layer
};

/// What the standard deviation of a branch's matrices is multiplied by.
struct MatrixGains {
  double q = 1, k = 1, v = 1, o = 1, w1 = 1, w2 = 1;
};

struct SubLayer {
  BranchKind branch = BranchKind::kMlp;
  bool norm_before = false, norm_of_branch = false, norm_after = false;
  bool norm_inside = false;       ///< of what the branch's last matrix reads
  bool adds_layer_input = false;  ///< the layer's input once more; not together with norm_before
  bool shifts = false;            ///< a scalar bias before each matrix and activation of the branch
  double norm_before_factor = 1;  ///< c
  Scale shortcut, branch_scale;   ///< omega and s
  MatrixInit init = MatrixInit::kFanIn;
  MatrixGains gains;
};

struct StackPlan {
  std::vector<std::vector<SubLayer>> layers;  ///< self-attention, (cross-attention,) MLP each
  bool final_norm = false;
  double embedding_gain = 1;  ///< of its standard deviation
};

/// A stack and the model around it: alone with L layers, or one of N encoder and M decoder layers.
struct StackShape {
  enum class Kind { kAlone, kEncoder, kDecoder };
  Kind kind = Kind::kAlone;
  std::int64_t encoder_layers = 0, decoder_layers = 0;  ///< alone: the second

  static StackShape alone(std::int64_t layers) { return {Kind::kAlone, 0, layers}; }
  static StackShape encoder(std::int64_t n, std::int64_t m) { return {Kind::kEncoder, n, m}; }
  static StackShape decoder(std::int64_t n, std::int64_t m) { return {Kind::kDecoder, n, m}; }
  std::int64_t layers() const { return kind == Kind::kEncoder ? encoder_layers : decoder_layers; }
  std::int64_t sublayers_per_layer() const { return kind == Kind::kDecoder ? 3 : 2; }
  std::int64_t sublayers() const { return sublayers_per_layer() * layers(); }
  /// Of both stacks.
  std::int64_t branches() const {
    return kind == Kind::kAlone ? sublayers() : 2 * encoder_layers + 3 * decoder_layers;
  }
};

StackPlan plan_stack(ResidualScheme scheme, const StackShape& shape, MatrixInit init,
                     const AdminSpec& admin = {});

/// Wang et al. 2022, arXiv 2203.00555. alone: alpha = (2L)^(1/4), beta = (8L)^(-1/4); encoder: 0.81 (N^4
/// M)^(1/16), 0.87 (N^4 M)^(-1/16); decoder: (3M)^(1/4), (12M)^(-1/4).
struct DeepNormConstants {
  double alpha, beta;
};
DeepNormConstants deepnorm_constants(const StackShape& shape);

/// Huang et al. 2020: encoder 0.67 N^(-1/4), decoder (9M)^(-1/4). A stack alone has the encoder's sub-layers
/// and takes its factor (a choice of evenkeel; the paper has no such stack).
double t_fixup_gain(const StackShape& shape);

/// Wang et al. 2022, arXiv 2210.06423: sqrt(ln 2L) alone, sqrt(ln(3M) ln(2N) / 3) in an encoder, sqrt(ln 3M)
/// in a decoder; cross-attention is not scaled.
double sub_ln_gain(const StackShape& shape);

/// Touvron et al. 2021, arXiv 2103.17239: 0.1 up to 18 layers, 1e-5 up to 24, 1e-6 beyond.
double layer_scale_start(std::int64_t layers);

/// omega of admin-torch for a stack of n sub-layers; 1 for the starts that measure.
double admin_start(AdminStart start, std::int64_t sublayers);

}  // namespace evenkeel
