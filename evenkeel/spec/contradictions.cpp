#include "evenkeel/spec/contradictions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/spec/family.h"

namespace evenkeel {
namespace {

constexpr const char *kAlgorithm = "optim.algorithm", *kMu = "interventions.mu_param",
                     *kClip = "interventions.qk_clip", *kScale = "interventions.attention_scale",
                     *kSigma = "interventions.sigma_reparam", *kWeightNorm = "interventions.weight_norm",
                     *kKappa = "interventions.kappa", *kQkNorm = "interventions.qk_norm",
                     *kFunction = "interventions.attention_function",
                     *kDecayWithRate = "interventions.mu.decay_with_rate", *kDecay = "optim.weight_decay";

/// Two settings, and what is said of the second.
struct Conflict {
  bool holds;
  const char *one, *other, *why;
};

std::vector<Conflict> exclusive(const Experiment& e) {
  const InterventionsSpec& on = e.interventions;
  const OptimiserTraits by = traits(e.optim.algorithm);
  const bool full = on.mu_param == MuParam::kFull, complete = on.mu_param == MuParam::kCompleteP;
  const bool clips = on.qk_clip > 0, softmax = on.attention_function == AttentionFunction::kSoftmax;
  const bool scaled = on.attention_scale != AttentionScale::kRootWidth;
  const bool reparametrises = on.sigma_reparam != SigmaReparam::kOff;
  const double decay = e.optim.weight_decay.value_or(0);
  const char* undoes = ", which undoes what is done to the size of the query and key matrices";
  return {
      {e.optim.decay_form && !by.has_decay_form, "optim.decay_form", kAlgorithm,
       ", which has one form of decay only"},
      {decay != 0 && by.on_sphere, kDecay, kAlgorithm, ", whose matrices keep their norm"},
      {on.rms_scaled_lr && by.relative, "interventions.rms_scaled_lr", kAlgorithm,
       ", whose steps are in proportion to the tensors already"},
      {on.weight_norm && reparametrises, kWeightNorm, kSigma, ": both replace the same weights"},
      {on.mu_param != MuParam::kOff && by.on_sphere, kMu, kAlgorithm,
       ", whose steps are in proportion to the matrices at any width"},
      {complete && decay > 0 && !by.decays_apart, kMu, kDecay,
       ", which is part of the step under this optim.algorithm, so that it would follow width and depth"},
      {complete && scaled, kMu, kScale, ": it sets the same scale itself"},
      {complete && on.mu.decay_with_rate, kMu, kDecayWithRate, ": its decay has a rule of its own"},
      {full && scaled, kMu, kScale, ": it sets the same scale itself"},
      {full && reparametrises, kMu, kSigma, ": queries from zero have no singular value to divide by"},
      {full && on.kappa > 0, kMu, kKappa, ": queries from zero have no direction"},
      {full && on.weight_norm, kMu, kWeightNorm, ": queries from zero have no norm to divide by"},
      {full && !softmax, kMu, kFunction, ": queries from zero have logits of 0, where it has no slope"},
      {on.attention_sink != AttentionSink::kOff && !softmax, "interventions.attention_sink", kFunction,
       ", whose weights do not depend on other logits"},
      {clips && on.qk_norm != QkNorm::kOff, kClip, kQkNorm, undoes},
      {clips && on.attention_softcap > 0, kClip, "interventions.attention_softcap",
       ": both bound the same logits, and a clip would go by capped ones"},
      {clips && on.kappa > 0, kClip, kKappa, undoes},
      {clips && reparametrises && on.sigma_reparam != SigmaReparam::kStatsOnly, kClip, kSigma, undoes},
      {clips && on.weight_norm, kClip, kWeightNorm, undoes},
      {clips && by.on_sphere, kClip, kAlgorithm, ", which gives the query and key matrices their norm back"},
      {on.kappa > 0 && on.qk_norm != QkNorm::kOff, kKappa, kQkNorm,
       ": both decide how long queries and keys are"},
      {on.embedding == EmbeddingForm::kScale && family_row(e.arch.family).scales_embedding,
       "interventions.embedding", "arch.family", ", which does that anyway"},
  };
}

std::vector<Conflict> without_effect(const Experiment& e) {
  const InterventionsSpec& on = e.interventions;
  const OptimiserTraits by = traits(e.optim.algorithm);
  const bool decays = e.optim.weight_decay.value_or(by.has_decay_form ? 1 : 0) > 0;
  return {
      {on.mu_param != MuParam::kOff && on.mu.decay_with_rate && !by.decays_apart, kDecayWithRate, kAlgorithm,
       ", whose decay is part of the step and follows the rate"},
      {!on.no_decay.empty() && !decays, "interventions.no_decay", kAlgorithm,
       ", which decays nothing without optim.weight_decay"},
      {e.optim.rest_lr_factor != 1 && !by.has_rest, "optim.rest_lr_factor", kAlgorithm,
       ", which has one rule for all parameters"},
      {e.change.eps_factor != 1 && !by.has_eps, "change.eps_factor", kAlgorithm, ", which has no epsilon"},
  };
}

void check_complete_p(const Experiment& e, const Given& given) {
  if (e.interventions.mu_param != MuParam::kCompleteP) return;
  const std::string own = given.text(e, kMu);
  if (e.arch.L() < 1)
    throw InputError(fmt::format("{} needs blocks, but {}", own, given.text(e, "arch.depth")));
  if (e.arch.decoder_layers() != e.arch.L())
    throw InputError(fmt::format("{} knows one depth, but {} is not {}", own,
                                 given.text(e, "arch.decoder_depth"), given.text(e, "arch.depth")));
}

void check_coupled_decay(const Experiment& e, const Given& given) {
  const double decay = e.optim.weight_decay.value_or(kCoupledDecay);
  const double lr = e.optim.lr * std::max(1.0, e.optim.rest_lr_factor);
  if (e.optim.decay_form != DecayForm::kCoupled || decay * lr < 1) return;
  throw InputError(
      fmt::format("{} times {} must be < 1 with coupled decay, or weights change sign every step",
                  given.text(kDecay, decay), given.text("optim.lr", e.optim.lr)));
}

}  // namespace

void refuse_contradictions(const Experiment& e, const Given& given) {
  for (const Conflict& c : exclusive(e)) {
    if (!c.holds) continue;
    throw InputError(fmt::format("{} contradicts {}{}; leave one out", given.text(e, c.one),
                                 given.text(e, c.other), c.why));
  }
  for (const Conflict& c : without_effect(e)) {
    if (!c.holds) continue;
    throw InputError(fmt::format("{} changes nothing with {}{}; leave it out", given.text(e, c.one),
                                 given.text(e, c.other), c.why));
  }
  check_complete_p(e, given);
  check_coupled_decay(e, given);
}

std::vector<std::string> cautions(const Experiment& e) {
  std::vector<std::string> sentences;
  const MuParam mu = e.interventions.mu_param;
  if (mu != MuParam::kOff && e.optim.algorithm == OptimiserKind::kMuon &&
      e.optim.muon.scale != MuonScale::kMatchRmsAdamW) {
    sentences.push_back(
        fmt::format("[interventions.mu_param] = \"{}\" lowers the rate of wide matrices, and so does "
                    "[optim.muon.scale] = \"{}\"",
                    enum_name(mu), enum_name(e.optim.muon.scale)));
  }
  const bool plain_depth = e.arch.residual == ResidualScheme::kPreLn ||
                           e.arch.residual == ResidualScheme::kPostLn ||
                           e.arch.residual == ResidualScheme::kNone;
  if (mu == MuParam::kCompleteP && !plain_depth) {
    sentences.push_back(
        fmt::format("[interventions.mu_param] = \"complete_p\" weighs branches by depth, and so may "
                    "[arch.residual] = \"{}\"",
                    enum_name(e.arch.residual)));
  }
  if (e.interventions.mu_param == MuParam::kFull && e.interventions.qk_norm != QkNorm::kOff &&
      e.optim.clip_norm > 0) {
    sentences.push_back(fmt::format(
        "[interventions.mu_param] = \"full\" begins with queries of zero, where [interventions."
        "qk_norm] multiplies gradients by 1 / sqrt(arch.norm_eps) = {:.3g}: the first gradients of "
        "the query matrices may use up [optim.clip_norm] = {}",
        1 / std::sqrt(e.arch.norm_eps), e.optim.clip_norm));
  }
  return sentences;
}

}  // namespace evenkeel
