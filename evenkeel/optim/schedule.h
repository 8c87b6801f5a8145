// Learning rate: linear warm-up from 0 to the peak over W steps, then a curve until step T.
//
// Cosine: to an absolute floor, which does not scale with the peak (Wortsman et al. 2023, arXiv 2309.14322
// §2). Step: one drop (Zhai et al. 2023, arXiv 2303.06296 §4). Inverse square root: Vaswani et al. 2017,
// arXiv 1706.03762 §5.3. Linear, and polynomial of power 2, to the same floor (Liu et al. 2020, arXiv
// 2004.08249). Warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395, with the 1 - sqrt of Hägele et al.
// 2024, arXiv 2405.18392. A pure function of the step.
#pragma once

#include <cstdint>

#include "evenkeel/spec/experiment.h"

namespace evenkeel::optim {

class Schedule {
 public:
  /// Cosine. warmup <= steps. A floor above the peak counts as the peak.
  Schedule(double peak, double floor, std::int64_t warmup, std::int64_t steps);
  /// Of a resolved experiment, with its [change]: lr_factor, and the end of warm-up.
  explicit Schedule(const Experiment& experiment);

  /// The curve at a point x in [0, T], without changes: peak x / W up to W; then cosine floor + (peak -
  /// floor) (1 + cos(pi (x - W) / (T - W))) / 2, constant peak, step peak (times step_factor from step_at
  /// on), inverse_sqrt peak sqrt(max(W, 1) / x), or linear and polynomial floor + (peak - floor) (1 - (x - W)
  /// / (T - W))^p, p = 1 and 2, or wsd and wsd_sqrt: peak until x = T - D (or W, when that is later), then
  /// floor + (peak - floor) (1 - y^p), y from 0 there to 1 at T, p = 1 and 1/2.
  double at(double x) const;
  /// Rate of the n-th update, n in 1 ... T: at(n) in warm-up, at(n - 1) after it, so the first update is not
  /// empty and the last is not yet at the floor. While a change ends warm-up the rate is the peak until W.
  double rate(std::int64_t n) const;

 private:
  double after_warmup(double x) const;

  double peak_, floor_, warmup_, steps_;
  ScheduleKind kind_ = ScheduleKind::kCosine;
  double drop_at_ = 0, drop_ = 1;  ///< of kStep
  double cooldown_ = 0;            ///< of kWsd and kWsdSqrt
  Changes changes_;
};

}  // namespace evenkeel::optim
