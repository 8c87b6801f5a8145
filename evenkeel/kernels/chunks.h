// How many arrays of any length are shared out: into chunks of one size, so that a sum (one partial sum per
// chunk, added in order) has the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenkeel::kernels {

struct Chunk {
  std::size_t array = 0;
  std::int64_t begin = 0, size = 0;
};

constexpr std::int64_t kChunkValues = 16384;

/// The chunks of arrays of these lengths, in order.
inline std::vector<Chunk> chunks_of(const std::vector<std::int64_t>& lengths) {
  std::vector<Chunk> chunks;
  for (std::size_t a = 0; a < lengths.size(); ++a)
    for (std::int64_t begin = 0; begin < lengths[a]; begin += kChunkValues)
      chunks.push_back({a, begin, std::min(kChunkValues, lengths[a] - begin)});
  return chunks;
}

}  // namespace evenkeel::kernels
