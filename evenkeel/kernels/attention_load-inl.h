// Queries and keys on their way into attention: LayerNorm, rotation, storage type; and the way back of their
// gradients.
#if defined(EVENKEEL_KERNELS_ATTENTION_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_ATTENTION_LOAD_INL_H_
#undef EVENKEEL_KERNELS_ATTENTION_LOAD_INL_H_
#else
#define EVENKEEL_KERNELS_ATTENTION_LOAD_INL_H_
#endif

#include <cmath>

#include "evenkeel/kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {

struct Centre {
  float mean, inverse_deviation;
};

inline float sum_of(const float* x, std::int64_t n) {
  VF total = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes()) total = hn::Add(total, load_n(x + i, n - i));
  return sum(total);
}
inline float dot_of(const float* x, const float* y, std::int64_t n) {
  VF total = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes())
    total = hn::MulAdd(load_n(x + i, n - i), load_n(y + i, n - i), total);
  return sum(total);
}

/// LayerNorm's statistics of n values.
inline Centre centre_of(const float* x, std::int64_t n, double eps) {
  const float mean = sum_of(x, n) / static_cast<float>(n);
  VF squares = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes()) {
    const VF d = hn::Sub(load_n(x + i, n - i, mean), set(mean));
    squares = hn::MulAdd(d, d, squares);
  }
  return {mean, 1.0f / std::sqrt(sum(squares) / static_cast<float>(n) + static_cast<float>(eps))};
}

/// How the rows of one head, of queries or of keys, are loaded.
struct HeadLoad {
  std::int64_t width = 0;
  const float* gain = nullptr;      ///< of this head; null: no norm
  const Centre* centres = nullptr;  ///< per token, when the norm's statistics are over all heads
  double eps = 0;
  const float *cos = nullptr, *sin = nullptr;

  Centre centre(const float* x, std::int64_t position) const {
    return centres != nullptr ? centres[position] : centre_of(x, width, eps);
  }
};

/// x <- rotation of x at `position`; `sign` -1 turns back.
inline void rotate(const HeadLoad& load, std::int64_t position, float sign, float* HWY_RESTRICT x) {
  const std::int64_t half = load.width / 2;
  const float *HWY_RESTRICT c = load.cos + position * half, *HWY_RESTRICT s = load.sin + position * half;
  float* HWY_RESTRICT y = x + half;
  for (std::int64_t i = 0; i < half; ++i) {
    const float first = x[i], second = y[i], turn = sign * s[i];
    x[i] = first * c[i] - second * turn;
    y[i] = second * c[i] + first * turn;
  }
}

/// Row `position` of the head, transformed, in fp32; `raw` has room for `width` values.
template <class T>
void load_row(const HeadLoad& load, const T* from, std::int64_t position, float* HWY_RESTRICT x) {
  copy_row(from, load.width, x);
  if (load.gain != nullptr) {
    const Centre c = load.centre(x, position);
    const float* HWY_RESTRICT gain = load.gain;
    for (std::int64_t i = 0; i < load.width; ++i) x[i] = (x[i] - c.mean) * c.inverse_deviation * gain[i];
  }
  if (load.cos != nullptr) rotate(load, position, 1, x);
}

/// The gradient of a transformed row becomes that of the row as it was stored. Adds to the gain's gradient.
/// When the norm is over all heads, only the rotation is undone here (normalise_back_whole does the rest).
template <class T>
void unload_row(const HeadLoad& load, const T* from, std::int64_t position, float* HWY_RESTRICT g, T* to,
                float* HWY_RESTRICT d_gain, float* HWY_RESTRICT x) {
  const std::int64_t n = load.width;
  if (load.cos != nullptr) rotate(load, position, -1, g);
  if (load.gain != nullptr && load.centres == nullptr) {
    copy_row(from, n, x);
    const Centre c = load.centre(x, position);
    const float* HWY_RESTRICT gain = load.gain;
    for (std::int64_t i = 0; i < n; ++i) {
      x[i] = (x[i] - c.mean) * c.inverse_deviation;
      d_gain[i] += g[i] * x[i];
      g[i] *= gain[i];
    }
    const float mean = sum_of(g, n) / static_cast<float>(n), along = dot_of(g, x, n) / static_cast<float>(n);
    for (std::int64_t i = 0; i < n; ++i) g[i] = c.inverse_deviation * (g[i] - mean - x[i] * along);
  }
  copy_row(g, n, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
