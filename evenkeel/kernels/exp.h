// exp(x) for float in straight-line code, so that loops calling it vectorise: Cody-Waite reduction by ln 2 in
// two parts and a degree-6 polynomial; relative error below 3e-7 on [-87, 88]. Arguments outside are clamped
// to that range.
#pragma once

#include <bit>
#include <cstdint>

namespace evenkeel::kernels {

[[gnu::always_inline]] inline float fast_exp(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer in the low mantissa bits.
  constexpr float kRound = 12582912.0f;
  const float shifted = x * 1.44269504f + kRound;
  const std::int32_t exponent = std::bit_cast<std::int32_t>(shifted) << 23;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + exponent);
}

}  // namespace evenkeel::kernels
