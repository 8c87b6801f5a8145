#include "evenkeel/kernels/embedding.h"

#include <algorithm>
#include <vector>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/embedding.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE void copy_scaled(const float* from, std::int64_t n, float scale, float* to) {
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int) EVENKEEL_INLINE {
    store_n(hn::Mul(load_n(from + i, count), set(scale)), to + i, count);
  });
}

HWY_INLINE void add_scaled(const float* from, std::int64_t n, float scale, float* to) {
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int) EVENKEEL_INLINE {
    store_n(hn::MulAdd(load_n(from + i, count), set(scale), load_n(to + i, count)), to + i, count);
  });
}

void forward(const float* weight, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
             float* out) {
  const RowChunks chunks(shape.tokens);
  const std::int64_t width = shape.width;
  parallel_for(chunks.count, [&](std::int64_t c) {
    for (std::int64_t n = chunks.begin(c); n < chunks.end(c); ++n)
      copy_scaled(weight + ids[n] * width, width, scale, out + n * width);
  });
}

void backward(const float* d_out, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
              float* d_weight) {
  const std::int64_t width = shape.width;
  std::vector<std::int64_t> starts(static_cast<std::size_t>(shape.vocab + 1)),
      order(static_cast<std::size_t>(shape.tokens));
  for (std::int64_t n = 0; n < shape.tokens; ++n) ++starts[static_cast<std::size_t>(ids[n] + 1)];
  for (std::size_t v = 1; v < starts.size(); ++v) starts[v] += starts[v - 1];
  std::vector<std::int64_t> next(starts.begin(), starts.end() - 1);
  for (std::int64_t n = 0; n < shape.tokens; ++n)
    order[static_cast<std::size_t>(next[static_cast<std::size_t>(ids[n])]++)] = n;

  // Small blocks of ids and of columns: a few ids may hold most of the tokens.
  constexpr std::int64_t kIds = 16, kColumns = 256;
  const std::int64_t id_blocks = (shape.vocab + kIds - 1) / kIds,
                     column_blocks = (width + kColumns - 1) / kColumns;
  parallel_for(id_blocks * column_blocks, [&](std::int64_t block) {
    const std::int64_t first = block / column_blocks * kIds, column = block % column_blocks * kColumns;
    const std::int64_t count = std::min(kColumns, width - column);
    for (std::int64_t v = first; v < std::min(first + kIds, shape.vocab); ++v) {
      float* row = d_weight + v * width + column;
      const std::int64_t begin = starts[static_cast<std::size_t>(v)],
                         end = starts[static_cast<std::size_t>(v + 1)];
      if (begin == end) std::fill(row, row + count, 0.0f);
      for (std::int64_t k = begin; k < end; ++k) {
        const float* g = d_out + order[static_cast<std::size_t>(k)] * width + column;
        if (k == begin) copy_scaled(g, count, scale, row);
        else add_scaled(g, count, scale, row);
      }
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

}  // namespace

void embedding_forward(const float* weight, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
                       float* out) {
  HWY_DYNAMIC_DISPATCH(forward)(weight, ids, shape, scale, out);
}
void embedding_backward(const float* d_out, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
                        float* d_weight) {
  HWY_DYNAMIC_DISPATCH(backward)(d_out, ids, shape, scale, d_weight);
}

}  // namespace evenkeel::kernels
#endif
