// Vector helpers of all kernels, compiled once per processor generation (Highway's foreach_target; no include
// guard against that is meant). Everything computes in fp32 on full vectors; bf16 is a storage format.
//
// Include after "hwy/foreach_target.h" and "hwy/highway.h".
#if defined(EVENKEEL_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_SIMD_INL_H_
#undef EVENKEEL_KERNELS_SIMD_INL_H_
#else
#define EVENKEEL_KERNELS_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/types.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Put on lambdas that loops over vectors call.
#undef EVENKEEL_INLINE
#define EVENKEEL_INLINE __attribute__((always_inline))

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using VF = hn::Vec<F32>;
constexpr F32 f32;
constexpr U32 u32;
constexpr hn::Rebind<std::uint16_t, F32> u16;
/// Lanes of a vector of fp32. Fixed on every target we compile for.
HWY_INLINE constexpr std::int64_t lanes() {
  return static_cast<std::int64_t>(HWY_LANES(float));
}

HWY_INLINE VF set(float x) {
  return hn::Set(f32, x);
}

/// A full vector from storage; no alignment needed.
HWY_INLINE VF load(const float* p) {
  return hn::LoadU(f32, p);
}
HWY_INLINE VF load(const bf16* p) {
  const auto half = hn::LoadU(u16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(f32, hn::ShiftLeft<16>(hn::PromoteTo(u32, half)));
}

#if HWY_TARGET == HWY_AVX3
/// vcvtneps2bf16, for processors that have it (Highway 1.0.3 has no target for them): to the nearest, ties to
/// even, NaN stays NaN, denormals become zero.
HWY_INLINE hn::Vec256<std::uint16_t> native_bf16(VF v) {
  __m256i bits;
  asm("vcvtneps2bf16 %1, %0" : "=v"(bits) : "v"(v.raw));
  return hn::Vec256<std::uint16_t>{bits};
}
#endif

/// bf16 bits in the low half of each 32-bit lane: to the nearest, ties to even; NaN stays NaN.
HWY_INLINE hn::Vec<U32> bf16_bits(VF v) {
#if HWY_TARGET == HWY_AVX3
  if (HWY_LIKELY(use_bf16_instructions)) return hn::PromoteTo(u32, native_bf16(v));
#endif
  const auto bits = hn::BitCast(u32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(u32, 0x7fff))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(u32, 0x40));
  return hn::IfThenElse(hn::RebindMask(u32, hn::IsNaN(v)), quiet, rounded);
}
/// The same as 16-bit lanes.
HWY_INLINE hn::Vec<decltype(u16)> bf16_lanes(VF v) {
#if HWY_TARGET == HWY_AVX3
  if (HWY_LIKELY(use_bf16_instructions)) return native_bf16(v);
#endif
  return hn::TruncateTo(u16, bf16_bits(v));
}

HWY_INLINE void store(VF v, float* p) {
  hn::StoreU(v, f32, p);
}
HWY_INLINE void store(VF v, bf16* p) {
  hn::StoreU(bf16_lanes(v), u16, reinterpret_cast<std::uint16_t*>(p));
}

/// v as it would come back from storage.
template <class T>
HWY_INLINE VF stored_as(VF v) {
  if constexpr (sizeof(T) == sizeof(float)) return v;
  else return hn::BitCast(f32, hn::ShiftLeft<16>(bf16_bits(v)));
}

#if HWY_TARGET == HWY_AVX3
// Masked accesses touch no byte outside; other targets have none for 16 bits.
HWY_INLINE VF load_some(const float* p, std::int64_t n) {
  return hn::MaskedLoad(hn::FirstN(f32, static_cast<std::size_t>(n)), f32, p);
}
HWY_INLINE VF load_some(const bf16* p, std::int64_t n) {
  const auto half = hn::MaskedLoad(hn::FirstN(u16, static_cast<std::size_t>(n)), u16,
                                   reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(f32, hn::ShiftLeft<16>(hn::PromoteTo(u32, half)));
}
HWY_INLINE void store_some(VF v, float* p, std::int64_t n) {
  hn::BlendedStore(v, hn::FirstN(f32, static_cast<std::size_t>(n)), f32, p);
}
HWY_INLINE void store_some(VF v, bf16* p, std::int64_t n) {
  hn::BlendedStore(bf16_lanes(v), hn::FirstN(u16, static_cast<std::size_t>(n)), u16,
                   reinterpret_cast<std::uint16_t*>(p));
}
#else
template <class T>
HWY_INLINE VF load_some(const T* p, std::int64_t n) {
  alignas(64) float buffer[HWY_LANES(float)] = {};
  for (std::int64_t i = 0; i < n; ++i) buffer[i] = to_float(p[i]);
  return hn::Load(f32, buffer);
}
template <class T>
HWY_INLINE void store_some(VF v, T* p, std::int64_t n) {
  alignas(64) float buffer[HWY_LANES(float)];
  hn::Store(v, f32, buffer);
  for (std::int64_t i = 0; i < n; ++i) p[i] = from_float<T>(buffer[i]);
}
#endif

/// The first n (n > 0) elements, at most lanes() of them; the other lanes are 0.
template <class T>
HWY_INLINE VF load_n(const T* p, std::int64_t n) {
  return n >= lanes() ? load(p) : load_some(p, n);
}
/// The same with `fill` in the other lanes.
template <class T>
HWY_INLINE VF load_n(const T* p, std::int64_t n, float fill) {
  if (n >= lanes()) return load(p);
  return hn::IfThenElse(hn::FirstN(f32, static_cast<std::size_t>(n)), load_some(p, n), set(fill));
}
template <class T>
HWY_INLINE void store_n(VF v, T* p, std::int64_t n) {
  if (n >= lanes()) store(v, p);
  else store_some(v, p, n);
}

HWY_INLINE float sum(VF v) {
  return hn::GetLane(hn::SumOfLanes(f32, v));
}

/// 2^t for t <= 127; t below -126, where no normal number is left, gives 0; NaN stays NaN. Relative error
/// below 2e-7, or 3e-6 for results that are stored as bf16 (to 4e-3).
template <class T = float>
HWY_INLINE VF exp2(VF t) {
  // Adding 1.5 2^23 leaves the nearest integer in the low bits. ConvertTo would make 2^31 - 1 of a NaN, and a
  // finite number of the sum below.
  const VF shifted = hn::Add(t, set(12582912.0f));
  const VF n = hn::Sub(shifted, set(12582912.0f)), f = hn::Sub(t, n);
  VF p;
  if constexpr (sizeof(T) == sizeof(float)) {
    // Minimax polynomials on [-1/2, 1/2], of degree 6 and 4.
    p = hn::MulAdd(set(1.535336188319500e-4f), f, set(1.339887440266574e-3f));
    p = hn::MulAdd(p, f, set(9.618437357674640e-3f));
    p = hn::MulAdd(p, f, set(5.550332471162809e-2f));
    p = hn::MulAdd(p, f, set(2.402264791363012e-1f));
    p = hn::MulAdd(p, f, set(6.931472028550421e-1f));
    p = hn::MulAdd(p, f, set(1.0f));
  } else {
    p = hn::MulAdd(set(9.570101792e-3f), f, set(5.591786031e-2f));
    p = hn::MulAdd(p, f, set(2.402474483e-1f));
    p = hn::MulAdd(p, f, set(6.931218147e-1f));
    p = hn::MulAdd(p, f, set(0.9999992614f));
  }
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(I32(), shifted));
  const VF result = hn::BitCast(f32, hn::Add(hn::BitCast(I32(), p), exponent));
  return hn::IfThenZeroElse(hn::Lt(t, set(-126.0f)), result);
}
/// 1 / x for finite x of normal size: the processor's estimate and a Newton step, relative error below 3e-7.
HWY_INLINE VF reciprocal(VF x) {
  const VF r = hn::ApproximateReciprocal(x);
  return hn::Mul(r, hn::NegMulAdd(x, r, set(2)));
}
HWY_INLINE VF exp(VF x) {
  return exp2(hn::Mul(x, set(1.44269504f)));
}

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
