// How one group of parameters is updated: the state it keeps, the record of an update, and which parameters
// decay. An optimiser (optimiser.h) is a list of such groups.
//
// An update subtracts from every parameter; by how much is in the header of each rule. Decay of gains and
// biases needs optim.decay_gains, of gammas optim.decay_gammas. State is of the parameters' type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/spec/optim.h"

namespace evenkeel::optim {

/// Root mean squares of one tensor in one update.
struct UpdateStats {
  double grad_rms = 0;    ///< of the gradient the update used, so after clipping, without decay
  double param_rms = 0;   ///< before the update
  double update_rms = 0;  ///< as applied: learning rate and decay included
  double delta_rms = 0;   ///< of Delta: without the learning rate; with decay only where the gradient has it
};

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  UpdateRule(const UpdateRule&) = delete;
  UpdateRule& operator=(const UpdateRule&) = delete;

  /// One update at learning rate `lr` (schedule included). A parameter without gradient counts as having a
  /// zero one; the others count times `gradient_factor` (ClipResult::factor of measure_clip). `stats`, when
  /// given, gets one entry per parameter, in order; asking changes no bit of the update.
  void step(double lr, std::vector<UpdateStats>* stats = nullptr, double gradient_factor = 1);

  /// Updates done; with the state tensors it is all there is to save.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  /// "<quantity>/<parameter>" of parameter i. The tensors share the rule's memory: copy into them to load.
  std::vector<std::pair<std::string, at::Tensor>> state(std::size_t i) const;
  const std::vector<nn::Param*>& params() const { return params_; }

  /// Epsilon from the next update on; ignored by rules without one.
  void set_eps(double eps) { spec_.eps = eps; }

  /// What the learning rate of parameter i is multiplied by, as the parameter stands: Param::rate, and its
  /// RMS where the rate follows it.
  double rate_of(std::size_t i) const;
  /// What the update of parameter i divides by, as after the last update and before rate_of: sqrt(vhat) + eps
  /// of Adam, AdamW, sqrt(sum) + eps of Adagrad. Undefined where there is none, and before the first update.
  virtual at::Tensor preconditioner(std::size_t /*i*/) const { return {}; }
  /// Delta = mhat / (sqrt(vhat) + eps) of the last update of parameter i. Undefined where there is none, and
  /// before the first update.
  virtual at::Tensor direction(std::size_t /*i*/) const { return {}; }

  /// The rule's name and which path computes it, for the manifest.
  virtual nn::OpUse op_use() const = 0;

 protected:
  /// `spec` resolved. The parameters must outlive the rule. `quantities` name the state kept per value.
  UpdateRule(std::vector<nn::Param*> params, const OptimSpec& spec, std::vector<std::string> quantities);
  /// Declares a quantity of which there is one number per parameter; returns which it is.
  std::size_t add_number(std::string name);

  /// One update without autograd; steps() counts it already.
  virtual void update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) = 0;
  /// What lambda is multiplied by for parameter i: Param::decay, or 0 where it is spared.
  double decay_factor(std::size_t i) const;
  /// lambda of parameter i.
  double decay_of(std::size_t i) const { return decay_factor(i) * *spec_.weight_decay; }
  const at::Tensor& quantity(std::size_t which, std::size_t i) const { return quantities_[which].second[i]; }
  const OptimSpec& spec() const { return spec_; }

 private:
  std::vector<nn::Param*> params_;
  OptimSpec spec_;
  std::vector<std::pair<std::string, std::vector<at::Tensor>>> quantities_;
  std::int64_t steps_ = 0;
};

}  // namespace evenkeel::optim
