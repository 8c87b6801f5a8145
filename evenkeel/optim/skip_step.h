// Skipping a step whose loss or gradient norm stands out: nothing is updated, no moment, no decay, no count.
//
// With the values of the last 128 steps, m their mean and s their sample standard deviation (of n - 1), a
// step is skipped when loss > m + k s or norm > m + k s; only upwards, and not before its 64th value. A
// skipped value is among the last 128 of later steps, so that a plateau is accepted soon. Numbers that are
// not finite end the run before they come here. AI2's OLMo-core, SkipStepOptimizer, k = 6.
#pragma once

#include <cstdint>
#include <deque>

#include "evenkeel/base/json.h"

namespace evenkeel::optim {

class SkipStep {
 public:
  static constexpr std::size_t kWindow = 128, kLeast = 64;

  /// `deviations` k; 0 never skips.
  explicit SkipStep(double deviations) : deviations_(deviations) {}
  bool on() const { return deviations_ > 0; }
  /// Takes the training loss and the norm of the gradients before clipping, both finite.
  bool skips(double loss, double norm);

  Json state() const;
  void load(const Json& state);

 private:
  double deviations_;
  std::deque<double> losses_, norms_;  ///< oldest first
};

}  // namespace evenkeel::optim
