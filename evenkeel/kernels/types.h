// The 16-bit storage type of activations. Arithmetic is always fp32.
#pragma once

#include <bit>
#include <cstdint>

namespace evenkeel::kernels {

/// bfloat16: the upper half of an fp32.
struct bf16 {
  std::uint16_t bits;
};

inline float to_float(float x) {
  return x;
}
inline float to_float(bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// To the nearest, ties to even; NaN stays NaN.
inline bf16 to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

template <class T>
T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(bf16)) return to_bf16(x);
  else return x;
}

}  // namespace evenkeel::kernels
