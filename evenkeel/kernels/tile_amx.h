// The tile product by AMX, over any implementation of the tile registers: the processor's, or the tests' in
// plain C++.
//
// Registers 0-3 hold C as 2 x 2 tiles of 16 x 16 fp32, 4 and 5 the two row halves of A, 6 and 7 the two
// column halves of B. Intel, Architecture Instruction Set Extensions, chapter 3: TDPBF16PS multiplies pairs
// of bf16; both of a pair are added into one fp32, and denormals count as zero.
#pragma once

#include "evenkeel/kernels/tile.h"

namespace evenkeel::kernels {

/// `Registers` offers zero<N>(), load<N>(pointer, stride in bytes), store<N>(pointer, stride in bytes) and
/// dot<C, A, B>(). a.word is 2; k is a multiple of 32.
template <class Registers>
void amx_multiply(OperandA<bf16> a, const bf16* panel, std::int64_t k, std::int64_t rows,
                  std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  constexpr std::int64_t kHalf = 16;
  const std::ptrdiff_t a_stride = a.row * 2, b_stride = columns * 4, c_stride = c_row * 4;
  const bool wide = columns == kTile, tall = rows == kTile;
  float *c01 = c + kHalf, *c10 = c + kHalf * c_row, *c11 = c10 + kHalf;
  if (accumulate) {
    Registers::template load<0>(c, c_stride);
    if (wide) Registers::template load<1>(c01, c_stride);
    if (tall) Registers::template load<2>(c10, c_stride);
    if (wide && tall) Registers::template load<3>(c11, c_stride);
  } else {
    Registers::template zero<0>();
    Registers::template zero<1>();
    Registers::template zero<2>();
    Registers::template zero<3>();
  }
  const bf16 *upper = a.data, *lower = a.data + kHalf * a.row;
  for (std::int64_t i = 0; i < k; i += 32, panel += 32 * columns) {
    Registers::template load<4>(upper + i, a_stride);
    Registers::template load<6>(panel, b_stride);
    Registers::template dot<0, 4, 6>();
    if (wide) {
      Registers::template load<7>(panel + 2 * kHalf, b_stride);
      Registers::template dot<1, 4, 7>();
    }
    if (!tall) continue;
    Registers::template load<5>(lower + i, a_stride);
    Registers::template dot<2, 5, 6>();
    if (wide) Registers::template dot<3, 5, 7>();
  }
  Registers::template store<0>(c, c_stride);
  if (wide) Registers::template store<1>(c01, c_stride);
  if (tall) Registers::template store<2>(c10, c_stride);
  if (wide && tall) Registers::template store<3>(c11, c_stride);
}

}  // namespace evenkeel::kernels
