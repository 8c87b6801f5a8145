// Packing operands for tiles, and the loops that make a matrix product of them. Compiled once per processor
// generation, like simd-inl.h.
//
// Order of summation: along k in steps of kChunk, inside one step as the tile sums; nothing else, least of
// all the number of threads, changes a bit.
#if defined(EVENKEEL_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_TILE_INL_H_
#undef EVENKEEL_KERNELS_TILE_INL_H_
#else
#define EVENKEEL_KERNELS_TILE_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "evenkeel/kernels/scratch.h"
#include "evenkeel/kernels/simd-inl.h"
#include "evenkeel/kernels/tile.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {

inline std::int64_t round_up(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step * step;
}

/// Columns of the panel that begins at column `first` of n.
inline std::int64_t panel_columns(std::int64_t n, std::int64_t first) {
  return n - first > 16 ? kTile : 16;
}
/// Values of T that the panels of an [k, n] operand take.
template <class T>
std::int64_t panels_size(const Tile<T>& tile, std::int64_t k, std::int64_t n) {
  return round_up(k, tile.k_step) * round_up(n, 16);
}

using Word = std::uint32_t;

/// to[j * to_row + i] = from[i * from_row + j] for i < rows, j < columns; strides in words.
inline void transpose_words(const Word* from, std::ptrdiff_t from_row, std::int64_t rows,
                            std::int64_t columns, Word* to, std::ptrdiff_t to_row) {
  // int: GCC warns of overflow in loops it cannot bound.
  const int n = static_cast<int>(rows), m = static_cast<int>(columns);
  int i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<Word, 4> four;
  const hn::RepartitionToWide<decltype(four)> two;
  for (; i + 4 <= n; i += 4) {
    const Word* f = from + i * from_row;
    int j = 0;
    for (; j + 4 <= m; j += 4) {
      const auto r0 = hn::LoadU(four, f + j), r1 = hn::LoadU(four, f + from_row + j),
                 r2 = hn::LoadU(four, f + 2 * from_row + j), r3 = hn::LoadU(four, f + 3 * from_row + j);
      const auto a = hn::BitCast(two, hn::InterleaveLower(four, r0, r1)),
                 b = hn::BitCast(two, hn::InterleaveLower(four, r2, r3)),
                 c = hn::BitCast(two, hn::InterleaveUpper(four, r0, r1)),
                 d = hn::BitCast(two, hn::InterleaveUpper(four, r2, r3));
      Word* t = to + j * to_row + i;
      hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, a, b)), four, t);
      hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, a, b)), four, t + to_row);
      hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, c, d)), four, t + 2 * to_row);
      hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, c, d)), four, t + 3 * to_row);
    }
    for (; j < m; ++j)
      for (int u = 0; u < 4; ++u) std::memcpy(to + j * to_row + i + u, f + u * from_row + j, sizeof(Word));
  }
#endif
  for (; i < n; ++i)
    for (int j = 0; j < m; ++j) std::memcpy(to + j * to_row + i, from + i * from_row + j, sizeof(Word));
}

template <class T>
HWY_INLINE Word* words(T* p) {
  return reinterpret_cast<Word*>(p);
}
template <class T>
HWY_INLINE const Word* words(const T* p) {
  return reinterpret_cast<const Word*>(p);
}

/// Copies a row, converting.
template <class From, class To>
HWY_INLINE void copy_row(const From* from, std::int64_t n, To* to) {
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) store(load(from + i), to + i);
  if (i < n) store_n(load_n(from + i, n - i), to + i, n - i);
}
template <class T>
HWY_INLINE void clear(T* p, std::int64_t n) {
  if (n > 0) std::memset(static_cast<void*>(p), 0, static_cast<std::size_t>(n) * sizeof(T));
}

/// Words of two rows' values.
HWY_INLINE void pack_pair(const bf16* first, const bf16* second, Word* to) {
  const auto low = hn::PromoteTo(u32, hn::LoadU(u16, reinterpret_cast<const std::uint16_t*>(first))),
             high = hn::PromoteTo(u32, hn::LoadU(u16, reinterpret_cast<const std::uint16_t*>(second)));
  hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), u32, to);
}
HWY_INLINE void pack_pair(const float* first, const float* second, Word* to) {
  hn::StoreU(hn::Or(bf16_bits(load(first)), hn::ShiftLeft<16>(bf16_bits(load(second)))), u32, to);
}

/// One panel from rows of B: row(i) points at value 0 of row i < k of the panel's n columns.
template <class T, class Row>
void pack_rows(const Row& row, std::int64_t k, std::int64_t n, std::int64_t columns, std::int64_t k_padded,
               T* panel) {
  using From = std::remove_cvref_t<decltype(*row(0))>;
  alignas(64) static thread_local From zeros[kTile];
  for (std::int64_t w = 0; w < k_padded / kWord<T>; ++w) {
    T* out = panel + w * columns * kWord<T>;
    if (w * kWord<T> >= k) {
      clear(out, columns * kWord<T>);
      continue;
    }
    if constexpr (kWord<T> == 1) {
      copy_row(row(w), n, out);
    } else {
      const From *first = row(2 * w), *second = 2 * w + 1 < k ? row(2 * w + 1) : zeros;
      if (n == kTile) {
        HWY_UNROLL(2)
        for (std::int64_t i = 0; i < kTile; i += lanes()) pack_pair(first + i, second + i, words(out) + i);
        continue;
      }
      std::int64_t j = 0;
      for (; j + lanes() <= n; j += lanes()) pack_pair(first + j, second + j, words(out) + j);
      for (; j < n; ++j) {
        out[2 * j] = from_float<T>(to_float(first[j]));
        out[2 * j + 1] = from_float<T>(to_float(second[j]));
      }
    }
    clear(out + n * kWord<T>, (columns - n) * kWord<T>);
  }
}

/// One panel from columns of B: column(j) points at the k contiguous values of column j < n.
template <class T, class Column>
void pack_columns(const Column& column, std::int64_t k, std::int64_t n, std::int64_t columns,
                  std::int64_t k_padded, T* panel) {
  constexpr std::int64_t kStep = 128;  // values at a time, so that the copy stays in L1
  alignas(64) T rows[kTile * kStep];
  for (std::int64_t k0 = 0; k0 < k_padded; k0 += kStep) {
    const std::int64_t all = std::min(kStep, k_padded - k0), valid = std::clamp<std::int64_t>(k - k0, 0, all);
    for (std::int64_t j = 0; j < columns; ++j) {
      T* to = rows + j * kStep;
      if (j < n) copy_row(column(j) + k0, valid, to);
      clear(to + (j < n ? valid : 0), all - (j < n ? valid : 0));
    }
    transpose_words(words(rows), kStep / kWord<T>, columns, all / kWord<T>, words(panel + k0 * columns),
                    columns);
  }
}

/// A transposed: row(i) points at the values of i < k of `n` <= 32 rows of A. The contraction is padded to
/// `k_padded`; where 32 rows of contiguous values are wanted they lie `row_stride` apart.
template <class T, class Row>
OperandA<T> pack_transposed(const Tile<T>& tile, const Row& row, std::int64_t k, std::int64_t n,
                            std::int64_t k_padded, std::int64_t row_stride, T* to) {
  if (tile.transposed_is_panel) {
    pack_rows(row, k, n, kTile, k_padded, to);
    return {to, kWord<T>, kTile * kWord<T>};
  }
  constexpr std::int64_t kStep = 128;
  alignas(64) T panel[kTile * kStep];
  for (std::int64_t k0 = 0; k0 < k_padded; k0 += kStep) {
    const std::int64_t all = std::min(kStep, k_padded - k0);
    pack_rows([&](std::int64_t i) { return row(k0 + i); }, std::clamp<std::int64_t>(k - k0, 0, all), n, kTile,
              all, panel);
    transpose_words(words(panel), kTile, all / kWord<T>, kTile, words(to + k0), row_stride / kWord<T>);
  }
  return {to, row_stride, kWord<T>};
}

constexpr std::int64_t kBlockRows = 64;  ///< rows of A that are multiplied by all of B before the next ones
template <class T>
inline constexpr std::int64_t kChunk = 256 * kWord<T>;  ///< a panel's part of this length stays in L1

template <class T>
struct RowScratch {
  Scratch<T> a;
  alignas(64) float c[kBlockRows * kTile];
};

/// `rows` <= kBlockRows rows of a [rows, k] (row stride lda) times packed B [k, n]. epilogue(row, column,
/// rows, columns, c) takes each tile c[r * 32 + j].
template <class T, class Epilogue>
void multiply_rows(const TileScope<T>& scope, const T* a, std::ptrdiff_t lda, std::int64_t rows,
                   const T* panels, std::int64_t n, std::int64_t k, RowScratch<T>& scratch,
                   const Epilogue& epilogue) {
  const std::int64_t k_padded = round_up(k, scope.tile.k_step);
  if (rows % kTile != 0 || k_padded != k) {
    const std::int64_t all = round_up(rows, kTile);
    T* copy = scratch.a.get(all * k_padded);
    for (std::int64_t r = 0; r < all; ++r) {
      T* to = copy + r * k_padded;
      if (r < rows) std::memcpy(static_cast<void*>(to), a + r * lda, static_cast<std::size_t>(k) * sizeof(T));
      clear(to + (r < rows ? k : 0), k_padded - (r < rows ? k : 0));
    }
    a = copy;
    lda = k_padded;
  }
  for (std::int64_t j = 0; j < n; j += kTile) {
    const std::int64_t columns = panel_columns(n, j);
    const T* panel = panels + j * k_padded;
    for (std::int64_t k0 = 0; k0 < k_padded; k0 += kChunk<T>) {
      const std::int64_t part = std::min(kChunk<T>, k_padded - k0);
      for (std::int64_t r = 0; r < rows; r += kTile) {
        float* c = scratch.c + r * kTile;
        scope.multiply({a + r * lda + k0, lda, kWord<T>}, panel + k0 * columns, part, kTile, columns, c,
                       kTile, k0 > 0);
        if (k0 + part == k_padded) epilogue(r, j, std::min(kTile, rows - r), std::min(kTile, n - j), c);
      }
    }
  }
}

/// Calls each(c_row, out_row, count) for the vectors of one tile, full or cut.
template <class Each>
HWY_INLINE void for_vectors(std::int64_t rows, std::int64_t columns, const Each& each) {
  if (columns == kTile) {
    for (std::int64_t r = 0; r < rows; ++r) {
      HWY_UNROLL(2)
      for (std::int64_t j = 0; j < kTile; j += lanes()) each(r, j, lanes());
    }
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < columns; j += lanes()) each(r, j, std::min(lanes(), columns - j));
}

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
