#include "evenkeel/optim/gradient_guard.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"

namespace evenkeel::optim {
GradientGuard::Verdict GradientGuard::judge(const std::vector<nn::Param*>& params, double loss) {
  c10::AutoGradMode no_grad(false);
  Verdict verdict{measure_clip(params, clip_norm_)};
  if (!std::isfinite(loss) || !std::isfinite(verdict.norm)) return verdict;
  verdict.skip = skip_.skips(loss, verdict.norm);
  if (verdict.skip) {
    verdict.clipped = verdict.norm;
    verdict.factor = 1;
    return verdict;
  }
  if (kind_ == AdaptiveClip::kZClip) {
    verdict.limit = zclip_.limit(verdict.norm);
    verdict.clipped = std::min(verdict.clipped, *verdict.limit);
    if (verdict.clipped < verdict.norm) verdict.factor = verdict.clipped / verdict.norm;
  }
  if (kind_ != AdaptiveClip::kAdaGc) return verdict;
  std::vector<double> norms = verdict.norms;
  verdict.clipped_tensors = 0;
  std::size_t clipped = 0;
  if (adagc_.learns()) {
    for (double& norm : norms) norm *= verdict.factor;
    adagc_.learn(norms);
    return verdict;
  }
  const std::vector<double> factors = adagc_.factors(norms);
  double squares = 0;
  for (std::size_t i = 0; i < params.size(); ++i) {
    squares += factors[i] * norms[i] * factors[i] * norms[i];
    if (factors[i] == 1) continue;
    params[i]->value.mutable_grad().mul_(factors[i]);
    ++clipped;
  }
  verdict.clipped_tensors = static_cast<double>(clipped) / static_cast<double>(params.size());
  verdict.clipped = std::sqrt(squares);
  verdict.factor = 1;
  return verdict;
}

Json GradientGuard::state() const {
  Json state = Json::object();
  if (skip_.on()) state["skip_step"] = skip_.state();
  if (kind_ == AdaptiveClip::kZClip) state["zclip"] = zclip_.state();
  if (kind_ == AdaptiveClip::kAdaGc) state["adagc"] = adagc_.state();
  return state;
}

void GradientGuard::load(const Json& state) try {
  if (skip_.on()) skip_.load(state.at("skip_step"));
  if (kind_ == AdaptiveClip::kZClip) zclip_.load(state.at("zclip"));
  if (kind_ == AdaptiveClip::kAdaGc) adagc_.load(state.at("adagc"));
} catch (const Json::exception& error) {
  throw InputError(fmt::format("the state of skipping and clipping is damaged: {}", error.what()));
}

}  // namespace evenkeel::optim
