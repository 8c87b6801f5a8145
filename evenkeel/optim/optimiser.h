// An optimiser is a list of groups: parameters, the rule that updates them, and the factor of their learning
// rate. Most algorithms have one group; Muon and Hyperball treat matrices apart. Which parameter is in which
// group is the table in optimiser.cpp: the first group that takes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/optim/update_rule.h"

namespace evenkeel::optim {

class Optimiser {
 public:
  struct Group {
    std::unique_ptr<UpdateRule> rule;
    double rate = 1;  ///< factor of the learning rate
  };
  /// Every one of `params` is in one of the `groups`.
  Optimiser(std::vector<nn::Param*> params, std::vector<Group> groups);

  /// One update of every group; see UpdateRule::step. `stats` are in the order of params().
  void step(double lr, std::vector<UpdateStats>* stats = nullptr, double gradient_factor = 1);
  /// Drops all gradients.
  void zero_grad();

  /// Updates done; with the state tensors it is all there is to save.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps);
  /// "<quantity>/<parameter>", in order of the parameters. The tensors share the optimiser's memory: copy
  /// into them to load, then call set_steps.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  const std::vector<nn::Param*>& params() const { return params_; }

  /// Epsilon from the next update on; ignored by rules without one.
  void set_eps(double eps);

  /// Of parameter i: what the learning rate is multiplied by, that of its group included; the others as in
  /// UpdateRule.
  double rate_of(std::size_t i) const;
  at::Tensor preconditioner(std::size_t i) const;
  at::Tensor direction(std::size_t i) const;

  /// The rules, and which path computes them.
  std::vector<nn::OpUse> op_uses() const;

 private:
  struct Place {
    std::size_t group, index;
  };
  std::vector<nn::Param*> params_;
  std::vector<Group> groups_;
  std::vector<Place> places_;  ///< of each parameter
  std::int64_t steps_ = 0;
};

/// The algorithm that `spec`, resolved, names, for the parameters that are trainable; they must outlive it.
std::unique_ptr<Optimiser> make_optimiser(std::vector<nn::Param*> params, const OptimSpec& spec);

}  // namespace evenkeel::optim
