// The multiplier of dropout, counter-based: m_i = 0 with probability p, else 1 / (1 - p).
//
// Word i mod 4 of Philox block step 2^36 + i / 4 of (seed, stream) decides (base/rng.h), so a value depends
// on nothing but (seed, stream, step, i) and the backward pass draws it again in place of storing it.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

struct Dropout {
  double p = 0;  ///< in [0, 1); 0 is off
  std::uint64_t seed = 0, stream = 0;
  std::int64_t step = 0;  ///< below 2^28
  bool on() const { return p > 0; }
};

/// out[k] = m_(first + k) for k < n; indices below 2^38.
void dropout_multipliers(const Dropout& dropout, std::int64_t first, std::int64_t n, float* out);

}  // namespace evenkeel::kernels
