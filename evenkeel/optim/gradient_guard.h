// What stands between the gradients and the optimiser, in this order: the raw norm is measured; the step is
// skipped or not (skip_step.h); gradients are clipped by their own past, per tensor (adagc.h) or together
// (zclip.h); the global norm is clipped (clip.h). Its state is saved with the trainer's.
#pragma once

#include <optional>
#include <vector>

#include "evenkeel/nn/module.h"
#include "evenkeel/optim/adagc.h"
#include "evenkeel/optim/clip.h"
#include "evenkeel/optim/skip_step.h"
#include "evenkeel/optim/zclip.h"
#include "evenkeel/spec/optim.h"

namespace evenkeel::optim {

class GradientGuard {
 public:
  explicit GradientGuard(const OptimSpec& spec)
      : clip_norm_(spec.clip_norm), kind_(spec.adaptive_clip), skip_(spec.skip_step) {}

  struct Verdict : ClipResult {
    bool skip = false;
    std::optional<double> limit{};            ///< of ZClip: the norm it allows
    std::optional<double> clipped_tensors{};  ///< of AdaGC: share of the tensors that it clips
  };
  /// Of the gradients of `params` beside the training loss. Scales gradients in place where tensors have
  /// factors of their own; `factor` is left to the optimiser. A loss or norm that is not finite leaves the
  /// gradients and the state alone.
  Verdict judge(const std::vector<nn::Param*>& params, double loss);

  Json state() const;
  /// Throws InputError when `state` is not one of state().
  void load(const Json& state);

 private:
  double clip_norm_;
  AdaptiveClip kind_;
  SkipStep skip_;
  ZClip zclip_;
  AdaGc adagc_;
};

}  // namespace evenkeel::optim
