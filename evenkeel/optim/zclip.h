// ZClip: the global norm is clipped where it stands out of its own past.
//
//   z = (|g| - mu) / (sd + 1e-6);   z > 2.5:  |g| <- mu + 2.5^2 / z sd
//   mu <- a mu + (1 - a) |g|,   sd^2 <- a sd^2 + (1 - a) (|g| - mu)^2  with the new mu and the clipped |g|
//
// a = 0.97. The first 25 norms give the first mean and variance and are not clipped. A larger spike is
// clipped lower. Kumar et al. 2025, arXiv 2504.02507. optim.clip_norm bounds what is left.
#pragma once

#include <cstdint>

#include "evenkeel/base/json.h"

namespace evenkeel::optim {

class ZClip {
 public:
  static constexpr std::int64_t kFirst = 25;

  /// What a gradient of this norm, finite, is clipped to: the norm itself where it does not stand out.
  double limit(double norm);

  Json state() const;
  void load(const Json& state);

 private:
  std::int64_t seen_ = 0;
  double mean_ = 0, variance_ = 0;  ///< of the first norms: their sum and the sum of their squares
};

}  // namespace evenkeel::optim
