// Loops over rows and sums in double, on top of simd-inl.h; compiled once per processor generation like it.
#if defined(EVENKEEL_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_ROWS_INL_H_
#undef EVENKEEL_KERNELS_ROWS_INL_H_
#else
#define EVENKEEL_KERNELS_ROWS_INL_H_
#endif

#include "evenkeel/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {

/// body(i, n, k) for every vector of [0, size): it starts at i and holds n values (lanes() but for the last
/// one); k alternates between 0 and 1 for sums kept in two vectors.
template <class Body>
HWY_INLINE void vector_loop(std::int64_t size, const Body& body) {
  std::int64_t i = 0;
  for (; i + 2 * lanes() <= size; i += 2 * lanes()) {
    body(i, lanes(), 0);
    body(i + lanes(), lanes(), 1);
  }
  if (i + lanes() <= size) {
    body(i, lanes(), 0);
    i += lanes();
  }
  if (i < size) body(i, size - i, 1);
}

/// v with zeros from lane n on; for n == lanes() nothing.
HWY_INLINE VF keep_first(VF v, std::int64_t n) {
  return n >= lanes() ? v : hn::IfThenElseZero(hn::FirstN(f32, static_cast<std::size_t>(n)), v);
}

/// A sum of squares of fp32 values, kept in double in lanes() lanes.
struct SquareSum {
#if HWY_TARGET == HWY_SCALAR
  double all = 0;
  HWY_INLINE void add(VF v) {
    const double x = static_cast<double>(hn::GetLane(v));
    all += x * x;
  }
  HWY_INLINE double total() const {
    return all;
  }
#else
  using F64 = hn::Repartition<double, F32>;
  using Half = hn::Half<F32>;
  hn::Vec<F64> low, high;

  // Written out: an implicit constructor is not compiled for the target.
  HWY_INLINE SquareSum() : low(hn::Zero(F64())), high(hn::Zero(F64())) {}
  HWY_INLINE void add(VF v) {
    const auto a = hn::PromoteTo(F64(), hn::LowerHalf(Half(), v));
    const auto b = hn::PromoteTo(F64(), hn::UpperHalf(Half(), v));
    low = hn::MulAdd(a, a, low);
    high = hn::MulAdd(b, b, high);
  }
  HWY_INLINE double total() const {
    return hn::GetLane(hn::SumOfLanes(F64(), hn::Add(low, high)));
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
