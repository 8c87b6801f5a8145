#include "evenkeel/kernels/adamw.h"

#include <algorithm>
#include <cmath>

#include "evenkeel/kernels/dispatch.h"
#include "evenkeel/kernels/reduce.h"

namespace evenkeel::kernels {
namespace {

// The update of one block goes through buffers in L1 so that measuring it never changes how it is computed.
constexpr std::int64_t kBlock = 1024;

template <class T>
[[gnu::always_inline]] inline void update_block(T* __restrict p, const T* __restrict g, T* __restrict m,
                                                T* __restrict v, T* __restrict delta, T* __restrict update,
                                                std::int64_t n, const AdamWStep& step) {
  const T b1 = static_cast<T>(step.beta1), c1 = static_cast<T>(1 - step.beta1);
  const T b2 = static_cast<T>(step.beta2), c2 = static_cast<T>(1 - step.beta2);
  const T eps = static_cast<T>(step.eps), decay = static_cast<T>(step.decay);
  const T rate = static_cast<T>(step.lr), mean = static_cast<T>(1 / step.correction1);
  const T root = static_cast<T>(1 / std::sqrt(step.correction2));
  for (std::int64_t i = 0; i < n; ++i) {
    m[i] = b1 * m[i] + c1 * g[i];
    v[i] = b2 * v[i] + c2 * (g[i] * g[i]);
    const T scale = std::sqrt(v[i]) * root + eps;
    const T ratio = mean * m[i] / (scale == T{0} ? T{1} : scale);
    delta[i] = scale == T{0} ? T{0} : ratio;
    update[i] = rate * delta[i] + decay * p[i];
    p[i] -= update[i];
  }
}

EVENKEEL_KERNEL void update(float* p, const float* g, float* m, float* v, float* delta, float* u,
                            std::int64_t n, const AdamWStep& step) {
  update_block(p, g, m, v, delta, u, n, step);
}
EVENKEEL_KERNEL void update(double* p, const double* g, double* m, double* v, double* delta, double* u,
                            std::int64_t n, const AdamWStep& step) {
  update_block(p, g, m, v, delta, u, n, step);
}

template <class T>
void adamw_in_blocks(T* p, const T* g, T* m, T* v, std::int64_t n, const AdamWStep& step,
                     AdamWSquares* squares) {
  T delta[kBlock], change[kBlock];
  for (std::int64_t i = 0; i < n; i += kBlock) {
    const std::int64_t count = std::min(kBlock, n - i);
    update(p + i, g + i, m + i, v + i, delta, change, count, step);
    if (squares == nullptr) continue;
    squares->update += sum_squares(change, count);
    squares->delta += sum_squares(delta, count);
  }
}

}  // namespace

void adamw(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares) {
  adamw_in_blocks(p, g, m, v, n, step, squares);
}
void adamw(double* p, const double* g, double* m, double* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares) {
  adamw_in_blocks(p, g, m, v, n, step, squares);
}

}  // namespace evenkeel::kernels
