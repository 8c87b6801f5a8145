// The building block of every matrix product here: C (+)= A B for a tile of 32 rows and 32 or 16 columns.
//
// Storage T is fp32 or bf16; products are accumulated in fp32. Operands are seen as 32-bit words along the
// contraction k: a word is one fp32, or two consecutive bf16. B is packed in panels, word (k, column) at k *
// columns + column, so that a vector of columns is one load (and an AMX tile needs no other layout). A is
// addressed by two strides: row-major activations as they lie in memory, or the transpose of a matrix as
// pack_transposed left it. Which code runs is chosen at run time (isa.h): AMX tiles, AVX512-BF16 dot
// products, or Highway.
#pragma once

#include <cstddef>
#include <cstdint>

#include "evenkeel/kernels/types.h"

namespace evenkeel::kernels {

inline constexpr std::int64_t kTile = 32;  ///< rows, and columns of a full tile

/// Values of T in one 32-bit word.
template <class T>
inline constexpr std::int64_t kWord = 4 / static_cast<std::int64_t>(sizeof(T));

/// Where the words of A lie: row r, word k at data + r * row + k * word (counted in T).
template <class T>
struct OperandA {
  const T* data;
  std::ptrdiff_t row, word;
};

template <class T>
class TileScope;

/// An implementation. It multiplies through a TileScope only, because AMX's registers have to be configured
/// on the thread that uses them, and an instruction on others is illegal.
template <class T>
class Tile {
 public:
  using Multiply = void (*)(OperandA<T> a, const T* panel, std::int64_t k, std::int64_t rows,
                            std::int64_t columns, float* c, std::ptrdiff_t c_row, bool accumulate);
  /// `begin` and `end` are called around every stretch of multiplications of a thread; null: nothing to do.
  constexpr Tile(const char* called, std::int64_t step, bool transposed_panel, Multiply multiply,
                 void (*begin)() = nullptr, void (*end)() = nullptr)
      : name(called),
        k_step(step),
        transposed_is_panel(transposed_panel),
        multiply_(multiply),
        begin_(begin),
        end_(end) {}

  const char* const name;
  /// Contractions are padded with zeros to a multiple of this many values.
  const std::int64_t k_step;
  /// Whether a transposed A is a panel like B (else 32 rows of k contiguous values).
  const bool transposed_is_panel;

 private:
  friend class TileScope<T>;
  const Multiply multiply_;
  void (*const begin_)();
  void (*const end_)();
};

/// The best one that isa() allows.
template <class T>
const Tile<T>& tile();
template <>
const Tile<float>& tile<float>();
template <>
const Tile<bf16>& tile<bf16>();

/// A thread's use of a tile: it belongs to the thread that made it, and there is one at a time.
template <class T>
class TileScope {
 public:
  explicit TileScope(const Tile<T>& of) : tile(of) {
    if (tile.begin_ != nullptr) tile.begin_();
  }
  ~TileScope() {
    if (tile.end_ != nullptr) tile.end_();
  }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

  /// c[r * c_row + j] (+)= sum over k < `k` of A(r, k) B(k, j), r < rows, j < columns; rows and columns are
  /// 16 or 32.
  void multiply(OperandA<T> a, const T* panel, std::int64_t k, std::int64_t rows, std::int64_t columns,
                float* c, std::ptrdiff_t c_row, bool accumulate) const {
    tile.multiply_(a, panel, k, rows, columns, c, c_row, accumulate);
  }

  const Tile<T>& tile;
};

// The implementations; each is callable only where the processor has what it needs.
const Tile<float>& tile_highway_fp32();
const Tile<bf16>& tile_highway_bf16();
const Tile<bf16>& tile_avx512_bf16();
const Tile<bf16>& tile_amx();

/// Makes tile<bf16>() return `replacement` (null: its own choice again), so that tests can run every kernel
/// on emulated AMX registers.
void replace_tile_for_test(const Tile<bf16>* replacement);

}  // namespace evenkeel::kernels
