#include "evenkeel/kernels/reduce.h"

#include "evenkeel/kernels/chunks.h"
#include "evenkeel/kernels/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/reduce.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

double sum_squares_of_chunk(const float* x, std::int64_t n) {
  SquareSum even, odd;
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int k)
                     EVENKEEL_INLINE { (k == 0 ? even : odd).add(load_n(x + i, count)); });
  return even.total() + odd.total();
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(sum_squares_of_chunk);

double of_chunk(const float* x, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_squares_of_chunk)(x, n);
}
// Only checks compute in double.
double of_chunk(const double* x, std::int64_t n) {
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += x[i] * x[i];
  return total;
}

template <class T>
std::vector<double> of_arrays(std::span<const std::span<const T>> arrays) {
  std::vector<std::int64_t> lengths;
  for (const std::span<const T>& array : arrays) lengths.push_back(std::ssize(array));
  const std::vector<Chunk> chunks = chunks_of(lengths);
  std::vector<double> parts(chunks.size()), totals(arrays.size());
  parallel_for(std::ssize(chunks), [&](std::int64_t c) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(c)];
    parts[static_cast<std::size_t>(c)] = of_chunk(arrays[chunk.array].data() + chunk.begin, chunk.size);
  });
  for (std::size_t c = 0; c < chunks.size(); ++c) totals[chunks[c].array] += parts[c];
  return totals;
}

template <class T>
double of_one(const T* x, std::int64_t n) {
  const std::span<const T> array(x, static_cast<std::size_t>(n));
  return of_arrays<T>({&array, 1})[0];
}

}  // namespace

double sum_squares(const float* x, std::int64_t n) {
  return of_one(x, n);
}
double sum_squares(const double* x, std::int64_t n) {
  return of_one(x, n);
}
std::vector<double> sum_squares(std::span<const std::span<const float>> arrays) {
  return of_arrays(arrays);
}
std::vector<double> sum_squares(std::span<const std::span<const double>> arrays) {
  return of_arrays(arrays);
}

}  // namespace evenkeel::kernels
#endif
