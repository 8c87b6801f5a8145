#include "evenkeel/kernels/gelu.h"

#include "evenkeel/kernels/dispatch.h"
#include "evenkeel/kernels/exp.h"

namespace evenkeel::kernels {
namespace {

constexpr float kTwoRootTwoOverPi = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float kCubic = 0.044715f;

}  // namespace

EVENKEEL_KERNEL void gelu_forward(const float* __restrict x, float* __restrict y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i];
    const float u = kTwoRootTwoOverPi * v * (1.0f + kCubic * v * v);
    y[i] = v / (1.0f + fast_exp(-u));
  }
}

EVENKEEL_KERNEL void gelu_backward(const float* __restrict x, const float* __restrict dy,
                                   float* __restrict dx, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i];
    const float u = kTwoRootTwoOverPi * v * (1.0f + kCubic * v * v);
    const float s = 1.0f / (1.0f + fast_exp(-u));
    // Past 10 the second term is below fp32's smallest number, while its factors overflow; NaN stays NaN.
    float w = v > 10.0f ? 10.0f : v;
    w = w < -10.0f ? -10.0f : w;
    const float slope = kTwoRootTwoOverPi * (1.0f + 3.0f * kCubic * w * w);
    dx[i] = dy[i] * (s + w * (s * (1.0f - s)) * slope);
  }
}

}  // namespace evenkeel::kernels
