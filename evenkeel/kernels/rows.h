// How the rows of a matrix are shared out: into chunks whose number depends on the rows alone, so that sums
// over rows (one partial sum per chunk, the chunks added in order) have the same bits for any number of
// threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace evenkeel::kernels {

struct RowChunks {
  explicit RowChunks(std::int64_t n) : rows(n), count(std::clamp<std::int64_t>(n / kLeast, 1, kMost)) {}
  std::int64_t begin(std::int64_t chunk) const { return rows * chunk / count; }
  std::int64_t end(std::int64_t chunk) const { return begin(chunk + 1); }

  static constexpr std::int64_t kLeast = 4, kMost = 32;
  std::int64_t rows, count;
};

}  // namespace evenkeel::kernels
