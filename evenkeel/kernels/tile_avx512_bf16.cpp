// The tile product by AVX512-BF16: vdpbf16ps multiplies two bf16 per lane and adds both to an fp32.
#include "evenkeel/kernels/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <cstring>

#define EVENKEEL_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace evenkeel::kernels {
namespace {

constexpr int kRows = 8;

/// Eight rows against N vectors of 16 columns: 8 N accumulators stay in registers.
template <int N>
EVENKEEL_BF16 [[gnu::always_inline]] inline void block(const bf16* left, std::ptrdiff_t a_row,
                                                       std::ptrdiff_t a_word, const bf16* panel,
                                                       std::int64_t words, std::int64_t columns, float* c,
                                                       std::ptrdiff_t c_row, bool accumulate) {
  __m512 sums[kRows][N];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j)
      sums[r][j] = accumulate ? _mm512_loadu_ps(c + r * c_row + 16 * j) : _mm512_setzero_ps();
  for (std::int64_t k = 0; k < words; ++k, left += a_word, panel += columns * 2) {
    __m512bh right[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) {
      const __m512i words16 = _mm512_loadu_si512(panel + 32 * j);
      std::memcpy(&right[j], &words16, sizeof words16);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      std::int32_t word;
      std::memcpy(&word, left + r * a_row, sizeof word);
      const __m512i spread = _mm512_set1_epi32(word);
      __m512bh pair;
      std::memcpy(&pair, &spread, sizeof spread);
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) sums[r][j] = _mm512_dpbf16_ps(sums[r][j], pair, right[j]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) _mm512_storeu_ps(c + r * c_row + 16 * j, sums[r][j]);
}

EVENKEEL_BF16 void multiply(OperandA<bf16> a, const bf16* panel, std::int64_t k, std::int64_t rows,
                            std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate) {
  const std::int64_t words = k / 2;
  for (std::int64_t r = 0; r < rows; r += kRows) {
    const bf16* left = a.data + r * a.row;
    if (columns == kTile)
      block<2>(left, a.row, a.word, panel, words, columns, c + r * c_row, c_row, accumulate);
    else block<1>(left, a.row, a.word, panel, words, columns, c + r * c_row, c_row, accumulate);
  }
}

}  // namespace

const Tile<bf16>& tile_avx512_bf16() {
  static const Tile<bf16> chosen{"avx512_bf16", 2, true, multiply};
  return chosen;
}

}  // namespace evenkeel::kernels
#else
namespace evenkeel::kernels {
const Tile<bf16>& tile_avx512_bf16() {
  return tile_highway_bf16();
}
}  // namespace evenkeel::kernels
#endif
