#include "evenkeel/kernels/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/tile.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "evenkeel/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

/// One word of A against one vector of words of B.
template <class T>
struct Dot;

template <>
struct Dot<float> {
  using Left = VF;
  static HWY_INLINE Left left(const float* a) { return set(*a); }
  static HWY_INLINE VF right(const float* b) { return hn::LoadU(f32, b); }
  static HWY_INLINE VF add(Left a, VF b, VF c) { return hn::MulAdd(a, b, c); }
};

template <>
struct Dot<bf16> {
  struct Left {
    VF first, second;
  };
  static HWY_INLINE Left left(const bf16* a) { return {set(to_float(a[0])), set(to_float(a[1]))}; }
  static HWY_INLINE hn::Vec<U32> right(const bf16* b) {
    return hn::LoadU(u32, reinterpret_cast<const std::uint32_t*>(b));
  }
  static HWY_INLINE VF add(const Left& a, hn::Vec<U32> b, VF c) {
    const VF first = hn::BitCast(f32, hn::ShiftLeft<16>(b));
    const VF second = hn::BitCast(f32, hn::And(b, hn::Set(u32, 0xffff0000u)));
    return hn::MulAdd(a.second, second, hn::MulAdd(a.first, first, c));
  }
};

constexpr std::int64_t kRows =
    HWY_MAX_BYTES == 64 ? 8 : 4;  // accumulators: twice as many, of 32 or 16 registers

/// Rows kRows, columns two vectors.
template <class T>
HWY_INLINE void block(OperandA<T> a, const T* panel, std::int64_t words, std::int64_t columns,
                      float* HWY_RESTRICT c, std::ptrdiff_t c_row, bool accumulate) {
  VF sums[kRows][2];
  HWY_UNROLL(kRows)
  for (std::int64_t r = 0; r < kRows; ++r) {
    sums[r][0] = accumulate ? load(c + r * c_row) : hn::Zero(f32);
    sums[r][1] = accumulate ? load(c + r * c_row + lanes()) : hn::Zero(f32);
  }
  for (std::int64_t k = 0; k < words; ++k) {
    const T* right = panel + k * columns * kWord<T>;
    const auto b0 = Dot<T>::right(right), b1 = Dot<T>::right(right + lanes() * kWord<T>);
    HWY_UNROLL(kRows)
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto left = Dot<T>::left(a.data + r * a.row + k * a.word);
      sums[r][0] = Dot<T>::add(left, b0, sums[r][0]);
      sums[r][1] = Dot<T>::add(left, b1, sums[r][1]);
    }
  }
  HWY_UNROLL(kRows)
  for (std::int64_t r = 0; r < kRows; ++r) {
    store(sums[r][0], c + r * c_row);
    store(sums[r][1], c + r * c_row + lanes());
  }
}

/// The same for one vector of columns: 16 columns on AVX-512.
template <class T>
HWY_INLINE void narrow_block(OperandA<T> a, const T* panel, std::int64_t words, std::int64_t columns,
                             float* HWY_RESTRICT c, std::ptrdiff_t c_row, bool accumulate) {
  VF sums[kRows];
  HWY_UNROLL(kRows)
  for (std::int64_t r = 0; r < kRows; ++r) sums[r] = accumulate ? load(c + r * c_row) : hn::Zero(f32);
  for (std::int64_t k = 0; k < words; ++k) {
    const auto b = Dot<T>::right(panel + k * columns * kWord<T>);
    HWY_UNROLL(kRows)
    for (std::int64_t r = 0; r < kRows; ++r)
      sums[r] = Dot<T>::add(Dot<T>::left(a.data + r * a.row + k * a.word), b, sums[r]);
  }
  HWY_UNROLL(kRows)
  for (std::int64_t r = 0; r < kRows; ++r) store(sums[r], c + r * c_row);
}

template <class T>
HWY_INLINE void multiply(OperandA<T> a, const T* panel, std::int64_t k, std::int64_t rows,
                         std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  const std::int64_t words = k / kWord<T>;
  for (std::int64_t r = 0; r < rows; r += kRows) {
    const OperandA<T> some{a.data + r * a.row, a.row, a.word};
    float* out = c + r * c_row;
    std::int64_t j = 0;
    for (; j + 2 * lanes() <= columns; j += 2 * lanes())
      block(some, panel + j * kWord<T>, words, columns, out + j, c_row, accumulate);
    if (j < columns) narrow_block(some, panel + j * kWord<T>, words, columns, out + j, c_row, accumulate);
  }
}

void multiply_fp32(OperandA<float> a, const float* panel, std::int64_t k, std::int64_t rows,
                   std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  multiply(a, panel, k, rows, columns, c, c_row, accumulate);
}
void multiply_bf16(OperandA<bf16> a, const bf16* panel, std::int64_t k, std::int64_t rows,
                   std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  multiply(a, panel, k, rows, columns, c, c_row, accumulate);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "evenkeel/kernels/isa.h"

namespace evenkeel::kernels {
namespace {

HWY_EXPORT(multiply_fp32);
HWY_EXPORT(multiply_bf16);

void dispatch_fp32(OperandA<float> a, const float* panel, std::int64_t k, std::int64_t rows,
                   std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(multiply_fp32)(a, panel, k, rows, columns, c, c_row, accumulate);
}
void dispatch_bf16(OperandA<bf16> a, const bf16* panel, std::int64_t k, std::int64_t rows,
                   std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(multiply_bf16)(a, panel, k, rows, columns, c, c_row, accumulate);
}

const Tile<bf16>*& replaced() {
  static const Tile<bf16>* replacement = nullptr;
  return replacement;
}

}  // namespace

const Tile<float>& tile_highway_fp32() {
  static const Tile<float> chosen{"highway_fp32", 1, true, dispatch_fp32};
  return chosen;
}
const Tile<bf16>& tile_highway_bf16() {
  static const Tile<bf16> chosen{"highway_bf16", 2, true, dispatch_bf16};
  return chosen;
}

template <>
const Tile<float>& tile<float>() {
  isa();
  return tile_highway_fp32();
}

void replace_tile_for_test(const Tile<bf16>* replacement) {
  replaced() = replacement;
}

template <>
const Tile<bf16>& tile<bf16>() {
  if (replaced() != nullptr) return *replaced();
  switch (isa()) {
    case Isa::kAmx:
      return tile_amx();
    case Isa::kAvx512Bf16:
      return tile_avx512_bf16();
    default:
      return tile_highway_bf16();
  }
}

}  // namespace evenkeel::kernels
#endif
