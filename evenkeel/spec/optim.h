// How parameters are updated. Defaults: Wortsman et al. 2023 (arXiv 2309.14322) §2, rescaled to short runs
// (docs/guide/paper_and_miniature.md).
#pragma once

#include <cstdint>
#include <optional>

#include "evenkeel/config/field.h"

namespace evenkeel {

enum class DecayForm { kIndependent, kCoupled };
template <>
struct EnumNames<DecayForm> {
  static constexpr std::array names{std::pair{DecayForm::kIndependent, "independent"},
                                    std::pair{DecayForm::kCoupled, "coupled"}};
};

enum class OptimiserKind {
  kAdamW,
  kAdam,
  kRAdam,
  kSgd,
  kLars,
  kAdagrad,
  kLamb,
  kAdamAtan2,
  kStableAdamW,
  kMuon,
  kAdamH,
  kMuonH
};
template <>
struct EnumNames<OptimiserKind> {
  static constexpr std::array names{std::pair{OptimiserKind::kAdamW, "adamw"},
                                    std::pair{OptimiserKind::kAdam, "adam"},
                                    std::pair{OptimiserKind::kRAdam, "radam"},
                                    std::pair{OptimiserKind::kSgd, "sgd"},
                                    std::pair{OptimiserKind::kLars, "lars"},
                                    std::pair{OptimiserKind::kAdagrad, "adagrad"},
                                    std::pair{OptimiserKind::kLamb, "lamb"},
                                    std::pair{OptimiserKind::kAdamAtan2, "adam_atan2"},
                                    std::pair{OptimiserKind::kStableAdamW, "stable_adamw"},
                                    std::pair{OptimiserKind::kMuon, "muon"},
                                    std::pair{OptimiserKind::kAdamH, "adam_h"},
                                    std::pair{OptimiserKind::kMuonH, "muon_h"}};
};

/// Weight decay of a coupled form where none is given (Wortsman et al. 2023, arXiv 2309.14322,
/// section 3.2.2).
inline constexpr double kCoupledDecay = 0.1;

/// What there is to know of an algorithm without running it.
struct OptimiserTraits {
  bool decays_apart = false;    ///< decay is no part of what the factor of a tensor's rate multiplies
  bool has_decay_form = false;  ///< optim.decay_form chooses how
  bool has_eps = false;
  bool relative = false;   ///< a step is in proportion to the tensor
  bool has_rest = false;   ///< what is no matrix of a block has a rule of its own
  bool on_sphere = false;  ///< matrices keep their norm, so nothing decays
};
constexpr OptimiserTraits traits(OptimiserKind kind) {
  switch (kind) {
    case OptimiserKind::kAdamW:
      return {.decays_apart = true, .has_decay_form = true, .has_eps = true};
    case OptimiserKind::kMuon:
      return {.decays_apart = true, .has_decay_form = true, .has_eps = true, .has_rest = true};
    case OptimiserKind::kRAdam:
    case OptimiserKind::kStableAdamW:
      return {.decays_apart = true, .has_eps = true};
    case OptimiserKind::kAdamAtan2:
      return {.decays_apart = true};
    case OptimiserKind::kAdam:
    case OptimiserKind::kAdagrad:
      return {.has_eps = true};
    case OptimiserKind::kSgd:
      return {};
    case OptimiserKind::kLars:
      return {.relative = true};
    case OptimiserKind::kLamb:
      return {.has_eps = true, .relative = true};
    case OptimiserKind::kAdamH:
    case OptimiserKind::kMuonH:
      return {.has_eps = true, .relative = true, .has_rest = true, .on_sphere = true};
  }
  return {};
}

/// What an orthogonal update of a matrix [out, in] is multiplied by, in the words of torch.optim.Muon and of
/// OLMo-core: original max(1, out / in)^1/2 (Jordan et al. 2024); match_rms_adamw 0.2 max(out, in)^1/2, the
/// RMS of an update of AdamW (Liu et al. 2025); spectral (out / in)^1/2.
enum class MuonScale { kMatchRmsAdamW, kOriginal, kSpectral };
template <>
struct EnumNames<MuonScale> {
  static constexpr std::array names{std::pair{MuonScale::kMatchRmsAdamW, "match_rms_adamw"},
                                    std::pair{MuonScale::kOriginal, "original"},
                                    std::pair{MuonScale::kSpectral, "spectral"}};
};

/// How muon and muon_h are done; means nothing for the others.
struct MuonOptions {
  double momentum = 0.95;
  bool nesterov = true;
  std::int64_t steps = 5;
  MuonScale scale = MuonScale::kMatchRmsAdamW;

  static void fields(auto& self, auto&& visit) {
    visit("momentum", self.momentum,
          {.doc = "Of the gradients that are made orthogonal.", .min = 0, .max = 0.99999, .sparse = true});
    visit(
        "nesterov", self.nesterov,
        {.doc = "Whether the gradient is mixed in once more, as Nesterov momentum has it.", .sparse = true});
    visit("steps", self.steps, {.doc = "Newton-Schulz iterations.", .min = 1, .max = 100, .sparse = true});
    visit("scale", self.scale,
          {.doc = "Of muon: what the orthogonal update of a matrix [out, in] is multiplied by: "
                  "match_rms_adamw 0.2 max(out, in)^1/2, so that the learning rate and decay of adamw carry "
                  "over; original max(1, out / in)^1/2; spectral (out / in)^1/2.",
           .source = "arXiv 2502.16982; kellerjordan.github.io/posts/muon",
           .sparse = true});
  }
};

/// Learning rate after warm-up, x updates into a run of T, W of them warm-up: cosine to lr_floor at T;
/// constant; step: times step_factor from step_at on; inverse_sqrt: peak * sqrt(W / x); linear and
/// polynomial: to lr_floor at T as the first and second power of what is left; wsd and wsd_sqrt: the peak
/// until the cool-down of D steps, then to lr_floor at T as 1 - y and 1 - sqrt(y), y the share of the
/// cool-down that is done.
enum class ScheduleKind { kCosine, kConstant, kStep, kInverseSqrt, kLinear, kPolynomial, kWsd, kWsdSqrt };
template <>
struct EnumNames<ScheduleKind> {
  static constexpr std::array names{
      std::pair{ScheduleKind::kCosine, "cosine"}, std::pair{ScheduleKind::kConstant, "constant"},
      std::pair{ScheduleKind::kStep, "step"},     std::pair{ScheduleKind::kInverseSqrt, "inverse_sqrt"},
      std::pair{ScheduleKind::kLinear, "linear"}, std::pair{ScheduleKind::kPolynomial, "polynomial"},
      std::pair{ScheduleKind::kWsd, "wsd"},       std::pair{ScheduleKind::kWsdSqrt, "wsd_sqrt"}};
};

/// Clipping that goes by the past of the norms: of all gradients together, or of each tensor.
enum class AdaptiveClip { kOff, kZClip, kAdaGc };
template <>
struct EnumNames<AdaptiveClip> {
  static constexpr std::array names{std::pair{AdaptiveClip::kOff, "off"},
                                    std::pair{AdaptiveClip::kZClip, "zclip"},
                                    std::pair{AdaptiveClip::kAdaGc, "adagc"}};
};

struct OptimSpec {
  OptimiserKind algorithm = OptimiserKind::kAdamW;
  ScheduleKind schedule = ScheduleKind::kCosine;
  Duration step_at{84, Duration::Unit::kPercent};
  double step_factor = 0.1;
  Duration cooldown{20, Duration::Unit::kPercent};
  double lr = 1e-2;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double momentum = 0.9;
  MuonOptions muon;
  double rest_lr_factor = 1;
  double trust_coefficient = 1e-3;
  bool trust_gains = false, trust_gammas = false;
  std::optional<DecayForm> decay_form;  ///< after resolve: set for AdamW and Muon
  std::optional<double> weight_decay;   ///< after resolve: always set
  bool decay_gains = false, decay_gammas = false;
  std::optional<Duration> warmup;  ///< after resolve: always set
  double lr_floor = 1e-5;
  double clip_norm = 1.0;
  AdaptiveClip adaptive_clip = AdaptiveClip::kOff;
  double skip_step = 0;

  static void fields(auto& self, auto&& visit) {
    visit(
        "algorithm", self.algorithm,
        {.doc = "Optimiser: adamw; radam, adam_atan2 and stable_adamw, with the decay lr lambda; lamb, "
                "with decay in what its trust ratio scales; adam, sgd, lars, adagrad, which add decay to "
                "the gradient (L2); muon, orthogonal updates of the matrices of blocks beside adamw; or "
                "adam_h, muon_h (Hyperball), whose matrices keep their norm, beside adamw without decay.",
         .source = "arXiv 1711.05101; 1412.6980; 1908.03265; torch.optim.SGD; 1708.03888; Duchi et al. "
                   "2011; 1904.00962; 2407.05872; 2304.13013; kellerjordan.github.io/posts/muon, 2502.16982; "
                   "2606.16899"});
    visit("schedule", self.schedule,
          {.doc = "Learning rate after warm-up: cosine (to lr_floor), constant, step (times step_factor from "
                  "step_at on), inverse_sqrt (peak times the root of warm-up over steps), linear or "
                  "polynomial (of "
                  "power 2), both to lr_floor; wsd (warm-up, stable, decay) or wsd_sqrt: the peak, then over "
                  "`cooldown` linearly, or as 1 - sqrt, to lr_floor.",
           .source = "arXiv 2303.06296 §4; arXiv 1706.03762 §5.3; arXiv 2404.06395; arXiv 2405.18392"});
    visit("step_at", self.step_at, {.doc = "Where schedule = step drops; 84% is epoch 210 of 250."});
    visit("step_factor", self.step_factor,
          {.doc = "What schedule = step drops to, as a share of the peak.", .min = 0});
    visit("cooldown", self.cooldown,
          {.doc = "Of wsd and wsd_sqrt: length of the decay that ends the run.", .sparse = true});
    visit("lr", self.lr, {.doc = "Peak learning rate.", .min = 0, .above_min = true});
    visit("beta1", self.beta1,
          {.doc = "Of adamw and its relatives: decay of the first moment.", .min = 0, .max = 0.99999});
    visit("beta2", self.beta2,
          {.doc = "Of adamw and its relatives: decay of the second moment.", .min = 0, .max = 0.99999});
    visit("eps", self.eps,
          {.doc =
               "Of adamw and its relatives but adam_atan2, and of adagrad: epsilon, outside the square root.",
           .min = 0});
    visit("momentum", self.momentum, {.doc = "Of sgd and lars; 0 is off.", .min = 0, .max = 0.99999});
    visit("muon", self.muon);
    visit("rest_lr_factor", self.rest_lr_factor,
          {.doc = "Of muon, adam_h and muon_h: factor of the learning rate of what adamw updates there: "
                  "embeddings, gains, biases and, with muon, the head.",
           .min = 0,
           .above_min = true,
           .sparse = true});
    visit("trust_coefficient", self.trust_coefficient,
          {.doc = "Of lars: size of a tensor's update at learning rate 1, relative to the tensor.",
           .source = "arXiv 1708.03888",
           .min = 0,
           .above_min = true});
    visit("trust_gains", self.trust_gains,
          {.doc = "Of lars and lamb: scale updates of norm gains and biases too."});
    visit("trust_gammas", self.trust_gammas,
          {.doc = "Of lars and lamb: scale updates of the gammas of sigma-reparam and weight norm too."});
    visit("decay_form", self.decay_form,
          {.doc =
               "Of adamw and muon. independent: theta -= s (lr Delta + lambda theta); coupled: theta -= s lr "
               "(Delta + lambda theta), s = schedule in [0, 1]. auto: independent with these.",
           .source = "Loshchilov & Hutter 2017; arXiv 2309.14322 §3.2.2 (signs corrected)"});
    visit("weight_decay", self.weight_decay,
          {.doc = "lambda. auto: with adamw and muon 10 / train.steps when independent, 0.1 when coupled; 0, "
                  "which is "
                  "off, with "
                  "all others.",
           .min = 0});
    visit("decay_gains", self.decay_gains, {.doc = "Decay norm gains and biases too."});
    visit("decay_gammas", self.decay_gammas,
          {.doc = "Decay the gammas of sigma-reparam and weight norm too."});
    visit("warmup", self.warmup, {.doc = "Linear warm-up from 0. auto: the larger of 5% and 40 steps."});
    visit("lr_floor", self.lr_floor,
          {.doc = "Absolute learning rate that the schedules cosine, linear, polynomial, wsd and wsd_sqrt "
                  "end at; the others "
                  "have none.",
           .min = 0});
    visit("clip_norm", self.clip_norm,
          {.doc = "Global gradient norm is clipped to this; 0 is off.", .min = 0});
    visit(
        "adaptive_clip", self.adaptive_clip,
        {.doc = "Clip what stands out of its own past: off; zclip, the global norm by its mean and "
                "deviation, before clip_norm; or adagc, each tensor's norm, with clip_norm in the first 100 "
                "steps alone.",
         .source = "arXiv 2504.02507; arXiv 2502.11034",
         .sparse = true});
    visit("skip_step", self.skip_step,
          {.doc = "Skip a step whose loss or gradient norm is above the mean of the last 128 by more than "
                  "this many standard deviations, from the 64th step on; 0 is off, and OLMo-core has 6.",
           .source = "allenai/OLMo-core, SkipStepOptimizer",
           .min = 0,
           .sparse = true});
  }
};

}  // namespace evenkeel
