// The treatments that may be switched on; each is "off" by default or names its off value, and off is
// bit-identical to a build without it.
#pragma once

#include <cstdint>
#include <string>

#include "evenkeel/config/field.h"

namespace evenkeel {

/// LayerNorm of queries and keys before the dot product (Dehghani et al. 2023, arXiv 2302.05442; Wortsman et
/// al. 2023 §3.1.1).
enum class QkNorm { kOff, kPerHead, kPerHeadOwn, kWholeDim };
template <>
struct EnumNames<QkNorm> {
  static constexpr std::array names{std::pair{QkNorm::kOff, "off"}, std::pair{QkNorm::kPerHead, "per_head"},
                                    std::pair{QkNorm::kPerHeadOwn, "per_head_own"},
                                    std::pair{QkNorm::kWholeDim, "whole_dim"}};
};

/// W -> gamma / sigma(W) W in every linear layer (Zhai et al. 2023, arXiv 2303.06296); spectral_norm: gamma
/// is not trained (Miyato et al. 2018, arXiv 1802.05957); stats_only: sigma is tracked, the weight stays as
/// it is.
enum class SigmaReparam { kOff, kOn, kSpectralNorm, kStatsOnly };
template <>
struct EnumNames<SigmaReparam> {
  static constexpr std::array names{std::pair{SigmaReparam::kOff, "off"}, std::pair{SigmaReparam::kOn, "on"},
                                    std::pair{SigmaReparam::kSpectralNorm, "spectral_norm"},
                                    std::pair{SigmaReparam::kStatsOnly, "stats_only"}};
};

/// What gamma starts at: one (the paper), sigma0 = sigma(W) at the start, so that the function is that of the
/// plain weights (the released PyTorch code), or a given value.
enum class GammaInit { kOne, kSigma0, kValue };
template <>
struct EnumNames<GammaInit> {
  static constexpr std::array names{std::pair{GammaInit::kOne, "one"},
                                    std::pair{GammaInit::kSigma0, "sigma0"},
                                    std::pair{GammaInit::kValue, "value"}};
};

/// Which of queries, keys and values share a sigma and a gamma.
enum class SigmaQkv { kFused, kQkV, kSeparate, kPerHead };
template <>
struct EnumNames<SigmaQkv> {
  static constexpr std::array names{std::pair{SigmaQkv::kFused, "fused"}, std::pair{SigmaQkv::kQkV, "qk_v"},
                                    std::pair{SigmaQkv::kSeparate, "separate"},
                                    std::pair{SigmaQkv::kPerHead, "per_head"}};
};

enum class SigmaUpdate { kPerStep, kPerForward };
template <>
struct EnumNames<SigmaUpdate> {
  static constexpr std::array names{std::pair{SigmaUpdate::kPerStep, "per_step"},
                                    std::pair{SigmaUpdate::kPerForward, "per_forward"}};
};

enum class SigmaStart { kSvd, kBurnIn };
template <>
struct EnumNames<SigmaStart> {
  static constexpr std::array names{std::pair{SigmaStart::kSvd, "svd"},
                                    std::pair{SigmaStart::kBurnIn, "burn_in"}};
};

/// How sigma-reparam is done; means nothing while it is off.
struct SigmaOptions {
  GammaInit gamma_init = GammaInit::kOne;
  double gamma_value = 1;
  SigmaQkv qkv = SigmaQkv::kFused;
  bool head = true, tied_head = false;
  SigmaUpdate update = SigmaUpdate::kPerStep;
  double tolerance = 0.01;
  SigmaStart start = SigmaStart::kSvd;
  std::int64_t burn_in = 50;

  static void fields(auto& self, auto&& visit) {
    visit(
        "gamma_init", self.gamma_init,
        {.doc =
             "Start of gamma: one (paper), sigma0 (the spectral norm of the initial matrix: the function of "
             "the plain model) or value.",
         .source = "arXiv 2303.06296; apple/ml-sigma-reparam"});
    visit("gamma_value", self.gamma_value, {.doc = "Start of gamma with gamma_init = value."});
    visit(
        "qkv", self.qkv,
        {.doc =
             "What of queries, keys and values shares one sigma and gamma: fused (all three), qk_v (Q and K "
             "together, V), separate, or per_head (each head of each)."});
    visit("head", self.head, {.doc = "Reparametrise the output head too."});
    visit(
        "tied_head", self.tied_head,
        {.doc =
             "Reparametrise it also where its matrix is the embedding's, which goes on to use the plain one.",
         .sparse = true});
    visit("update", self.update,
          {.doc = "per_step: sigma follows the matrix once per optimiser step, iterated to `tolerance`; "
                  "per_forward: one iteration in every training forward pass, as in the reference code."});
    visit("tolerance", self.tolerance,
          {.doc = "per_step iterates until |W^T v - sigma u| <= tolerance * sigma, at most 20 times.",
           .min = 0,
           .above_min = true});
    visit("start", self.start, {.doc = "First singular vector: svd (exact) or burn_in (random, iterated)."});
    visit("burn_in", self.burn_in, {.doc = "Iterations of start = burn_in.", .min = 1, .max = 1 << 20});
  }
};

/// One more logit of every row of attention, without a key, so that a row may look at nothing: 0 (softmax off
/// by one), or learnt, one for each head.
enum class AttentionSink { kOff, kOffByOne, kLearnable };
template <>
struct EnumNames<AttentionSink> {
  static constexpr std::array names{std::pair{AttentionSink::kOff, "off"},
                                    std::pair{AttentionSink::kOffByOne, "off_by_one"},
                                    std::pair{AttentionSink::kLearnable, "learnable"}};
};

/// What makes weights of attention logits.
enum class AttentionFunction { kSoftmax, kSquaredRelu };
template <>
struct EnumNames<AttentionFunction> {
  static constexpr std::array names{std::pair{AttentionFunction::kSoftmax, "softmax"},
                                    std::pair{AttentionFunction::kSquaredRelu, "squared_relu"}};
};

/// What the product of a query and a key is multiplied by: 1 / sqrt(K) or 1 / K.
enum class AttentionScale { kRootWidth, kWidth };
template <>
struct EnumNames<AttentionScale> {
  static constexpr std::array names{std::pair{AttentionScale::kRootWidth, "root_width"},
                                    std::pair{AttentionScale::kWidth, "width"}};
};

/// muParam as Wortsman et al. 2023 (arXiv 2309.14322) compare it: rates alone; with the start of the head;
/// with scores and queries. CompleteP (arXiv 2505.01618) scales with depth too.
enum class MuParam { kOff, kSimple, kIntermediate, kFull, kCompleteP };
template <>
struct EnumNames<MuParam> {
  static constexpr std::array names{std::pair{MuParam::kOff, "off"}, std::pair{MuParam::kSimple, "simple"},
                                    std::pair{MuParam::kIntermediate, "intermediate"},
                                    std::pair{MuParam::kFull, "full"},
                                    std::pair{MuParam::kCompleteP, "complete_p"}};
};

/// How muParam is done; means nothing while it is off.
struct MuOptions {
  std::int64_t base_width = 64;
  bool decay_with_rate = false;
  std::int64_t base_depth = 4;
  double alpha = 1;

  static void fields(auto& self, auto&& visit) {
    visit("base_width", self.base_width,
          {.doc = "The width D at which muParam changes no rate.", .min = 1, .max = 1 << 20, .sparse = true});
    visit("decay_with_rate", self.decay_with_rate,
          {.doc = "Whether the weight decay of a matrix is multiplied by the factor of its rate too (NanoDO) "
                  "or stays "
                  "(mu_transformer).",
           .sparse = true});
    visit("base_depth", self.base_depth,
          {.doc = "Of complete_p: the depth L at which it changes no branch.",
           .min = 1,
           .max = 10000,
           .sparse = true});
    visit("alpha", self.alpha,
          {.doc = "Of complete_p: branches are multiplied by (base_depth / L)^alpha; 1 is CompleteP, 0.5 "
                  "depth-muP.",
           .min = 0.5,
           .max = 1,
           .sparse = true});
  }
};

/// What comes of the embedding: as it is; times sqrt(D), so that it is of size 1; or normed.
enum class EmbeddingForm { kOff, kScale, kNorm };
template <>
struct EnumNames<EmbeddingForm> {
  static constexpr std::array names{std::pair{EmbeddingForm::kOff, "off"},
                                    std::pair{EmbeddingForm::kScale, "scale"},
                                    std::pair{EmbeddingForm::kNorm, "norm"}};
};

/// What multiplies the output of attention heads: a sigmoid for each head, or for each of its values.
enum class OutputGate { kOff, kHeadwise, kElementwise };
template <>
struct EnumNames<OutputGate> {
  static constexpr std::array names{std::pair{OutputGate::kOff, "off"},
                                    std::pair{OutputGate::kHeadwise, "headwise"},
                                    std::pair{OutputGate::kElementwise, "elementwise"}};
};

struct InterventionsSpec {
  OutputGate output_gate = OutputGate::kOff;
  QkNorm qk_norm = QkNorm::kOff;
  SigmaReparam sigma_reparam = SigmaReparam::kOff;
  SigmaOptions sigma;
  bool weight_norm = false;
  double z_loss = 1e-4;
  AttentionScale attention_scale = AttentionScale::kRootWidth;
  double attention_softcap = 0;
  AttentionSink attention_sink = AttentionSink::kOff;
  AttentionFunction attention_function = AttentionFunction::kSoftmax;
  double kappa = 0;
  double qk_clip = 0;
  double output_softcap = 0;
  MuParam mu_param = MuParam::kOff;
  MuOptions mu;
  bool rms_scaled_lr = false;
  EmbeddingForm embedding = EmbeddingForm::kOff;
  std::string freeze;
  std::string no_decay;

  static void fields(auto& self, auto&& visit) {
    visit("output_gate", self.output_gate,
          {.doc = "What heads give is multiplied by sigmoid(x W_g): off, headwise (one factor for each head) "
                  "or elementwise (for each of "
                  "its values).",
           .source = "arXiv 2505.06708",
           .sparse = true});
    visit(
        "qk_norm", self.qk_norm,
        {.doc =
             "LayerNorm of queries and keys: off; per_head (statistics per head, one gain of K shared by the "
             "heads of a layer); per_head_own (one gain per head and channel); whole_dim (over D before the "
             "split).",
         .source = "arXiv 2309.14322 §3.1.1, E.8"});
    visit("sigma_reparam", self.sigma_reparam,
          {.doc = "Every linear map becomes gamma / sigma(W) W, sigma the largest singular value: off, on, "
                  "spectral_norm (gamma is not trained), stats_only (only track sigma).",
           .source = "arXiv 2303.06296"});
    visit("sigma", self.sigma);
    visit("weight_norm", self.weight_norm,
          {.doc = "Every row of every linear map becomes g w / |w|, g starting at |w|: the ablation of "
                  "sigma-reparam.",
           .source = "Salimans & Kingma 2016, arXiv 1602.07868"});
    visit("z_loss", self.z_loss,
          {.doc = "Coefficient of the mean squared log Z of the output logits; 0 is off.",
           .source = "arXiv 2309.14322 §3.1.2",
           .min = 0});
    visit("attention_scale", self.attention_scale,
          {.doc = "Attention logits are divided by the root of the head width (root_width) or by the head "
                  "width (width).",
           .source = "arXiv 2203.03466; arXiv 2309.14322 E.6",
           .sparse = true});
    visit("attention_softcap", self.attention_softcap,
          {.doc = "c: an attention logit z becomes c tanh(z / c), before the mask; 0 is off.",
           .source = "arXiv 2408.00118",
           .min = 0,
           .sparse = true});
    visit("attention_sink", self.attention_sink,
          {.doc = "One more logit in every row of the softmax, without a key: off, off_by_one (0) or "
                  "learnable (one per head, from 0).",
           .source = "arXiv 2508.10925",
           .sparse = true});
    visit("attention_function", self.attention_function,
          {.doc = "What makes weights of attention logits z: softmax, or squared_relu (max(0, z)^2 / "
                  "sqrt(T), T the keys of the sequence, or arch.context where a query sees the past only).",
           .source = "arXiv 2309.14322 E.11",
           .sparse = true});
    visit("kappa", self.kappa,
          {.doc = "Forces attention logits of about this size: queries and keys become sqrt(kappa) x / "
                  "rms(x) per head; 0 is off.",
           .source = "arXiv 2309.14322 Fig. 10",
           .min = 0,
           .sparse = true});
    visit("qk_clip", self.qk_clip,
          {.doc = "tau: after an update the queries and keys of a head whose largest logit S exceeded tau "
                  "are multiplied by sqrt(tau / S); 0 "
                  "is off.",
           .source = "arXiv 2507.20534",
           .min = 0,
           .sparse = true});
    visit("output_softcap", self.output_softcap,
          {.doc = "c: an output logit y becomes c tanh(y / c), before the loss; 0 is off.",
           .source = "arXiv 2408.00118",
           .min = 0,
           .sparse = true});
    visit("mu_param", self.mu_param,
          {.doc = "Learning rates of matrices are multiplied by mu.base_width / width: off, simple (that "
                  "alone), intermediate (and the head starts smaller), full (and attention scale 1 / head "
                  "width, queries from zero). With a tied head intermediate is simple. complete_p: branches, "
                  "rates, epsilon, scores and logits follow width and depth.",
           .source = "arXiv 2203.03466; arXiv 2309.14322 E.5; arXiv 2505.01618",
           .sparse = true});
    visit("mu", self.mu);
    visit("rms_scaled_lr", self.rms_scaled_lr,
          {.doc = "The learning rate of every tensor is multiplied by its root mean square, 1e-3 at least.",
           .source = "arXiv 1804.04235; arXiv 2309.14322 E.14",
           .sparse = true});
    visit("embedding", self.embedding,
          {.doc = "What comes of the embedding: off (as it is), scale (times sqrt(width), which seq2seq has "
                  "anyway) or norm (a norm of the kind of arch.norm).",
           .source = "arXiv 2312.16903",
           .sparse = true});
    visit("freeze", self.freeze,
          {.doc = "Names of parameters that are not trained, with * and ?, separated by spaces: \"embed.* "
                  "*.q.weight\"; empty is off.",
           .source = "arXiv 2104.02057",
           .sparse = true});
    visit("no_decay", self.no_decay,
          {.doc = "Names of parameters that weight decay spares, like those of freeze: \"embed.*\"; empty is "
                  "off. Gains, biases and gammas are spared unless optim.decay_gains, decay_gammas.",
           .source = "arXiv 2312.16903",
           .sparse = true});
  }
};

}  // namespace evenkeel
