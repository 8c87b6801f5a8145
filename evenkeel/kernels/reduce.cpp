#include "evenkeel/kernels/reduce.h"

#include "evenkeel/kernels/dispatch.h"

namespace evenkeel::kernels {
namespace {

constexpr int kLanes = 8;

template <class T>
[[gnu::always_inline]] inline double sum_squares_in_lanes(const T* x, std::int64_t n) {
  double lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const double v = static_cast<double>(x[i + l]);
      lane[l] += v * v;
    }
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const double part : lane) sum += part;
  return sum;
}

}  // namespace

EVENKEEL_KERNEL double sum_squares(const float* x, std::int64_t n) {
  return sum_squares_in_lanes(x, n);
}
EVENKEEL_KERNEL double sum_squares(const double* x, std::int64_t n) {
  return sum_squares_in_lanes(x, n);
}

}  // namespace evenkeel::kernels
