// Learning rate: linear warm-up from 0 to the peak over W steps, then cosine to an absolute floor at step T.
//
// Wortsman et al. 2023 (arXiv 2309.14322) §2: the floor does not scale with the peak. A pure function of the
// step.
#pragma once

#include <cstdint>

#include "evenkeel/spec/experiment.h"

namespace evenkeel::optim {

class Schedule {
 public:
  /// warmup <= steps. A floor above the peak counts as the peak.
  Schedule(double peak, double floor, std::int64_t warmup, std::int64_t steps);
  /// Of a resolved experiment.
  explicit Schedule(const Experiment& experiment);

  /// The curve at a point x in [0, T]: peak x / W up to W, then floor + (peak - floor) (1 + cos(pi (x - W) /
  /// (T - W))) / 2.
  double at(double x) const;
  /// Rate of the n-th update, n in 1 ... T: at(n) in warm-up, at(n - 1) after it, so the first update is not
  /// empty and the last is not yet at the floor.
  double rate(std::int64_t n) const;

 private:
  double peak_, floor_, warmup_, steps_;
};

}  // namespace evenkeel::optim
