// AdamW with bias correction and two forms of decay, s = lr / peak in [0, 1] (floor and warm-up included):
//
//   Delta = mhat / (sqrt(vhat) + eps)
//   independent: p <- p - (lr Delta + s lambda p)      coupled: p <- p - lr (Delta + lambda p)
//
// Kingma & Ba 2014 (arXiv 1412.6980); Loshchilov & Hutter 2017 (arXiv 1711.05101); Wortsman et al. 2023
// (arXiv 2309.14322) §3.2.2, signs corrected. Gains and biases are decayed only with optim.decay_gains, the
// gammas of weight transforms only with optim.decay_gammas. State is fp32 like the parameters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/nn/module.h"
#include "evenkeel/spec/optim.h"

namespace evenkeel::optim {

/// Root mean squares of one tensor in one update.
struct UpdateStats {
  double grad_rms = 0;    ///< of the gradient the update used, so after clipping
  double param_rms = 0;   ///< before the update
  double update_rms = 0;  ///< as applied: learning rate and decay included
  double delta_rms = 0;   ///< of Delta: neither learning rate nor decay
};

class AdamW {
 public:
  /// `spec` resolved. The parameters must outlive the optimiser.
  AdamW(std::vector<nn::Param*> params, const OptimSpec& spec);

  /// One update at learning rate `lr` (warm-up and cosine included). A parameter without gradient counts as
  /// having a zero one; the others count times `gradient_factor` (ClipResult::factor of measure_clip).
  /// `stats`, when given, gets one entry per parameter, in order; asking changes no bit of the update.
  void step(double lr, std::vector<UpdateStats>* stats = nullptr, double gradient_factor = 1);
  /// Delta of the last update of parameter i, from the state as it is. Undefined before the first.
  at::Tensor direction(std::size_t i) const;
  /// Epsilon from the next update on.
  void set_eps(double eps) { spec_.eps = eps; }
  /// Drops all gradients.
  void zero_grad();

  /// Updates done; with the state tensors it is all there is to save.
  std::int64_t steps() const { return steps_; }
  /// "exp_avg/<parameter>" and "exp_avg_sq/<parameter>", in order of the parameters. The tensors share the
  /// optimiser's memory: copy into them to load, then call set_steps.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void set_steps(std::int64_t steps) { steps_ = steps; }
  const std::vector<nn::Param*>& params() const { return params_; }

 private:
  bool decays(nn::Role role) const;

  std::vector<nn::Param*> params_;
  OptimSpec spec_;
  std::vector<at::Tensor> exp_avg_, exp_avg_sq_;
  std::int64_t steps_ = 0;
};

}  // namespace evenkeel::optim
