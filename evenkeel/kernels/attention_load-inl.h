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

template <class T>
HWY_INLINE float sum_of(const T* x, std::int64_t n) {
  VF total = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes()) total = hn::Add(total, load_n(x + i, n - i));
  return sum(total);
}
template <class A, class B>
HWY_INLINE float dot_of(const A* x, const B* y, std::int64_t n) {
  VF total = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes())
    total = hn::MulAdd(load_n(x + i, n - i), load_n(y + i, n - i), total);
  return sum(total);
}

/// LayerNorm's statistics of n values.
template <class T>
HWY_INLINE Centre centre_of(const T* x, std::int64_t n, double eps) {
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

  template <class T>
  HWY_INLINE Centre centre(const T* x, std::int64_t position) const {
    return centres != nullptr ? centres[position] : centre_of(x, width, eps);
  }
};

/// Row `position` of the head, normalised and rotated.
template <class T>
HWY_INLINE void load_row(const HeadLoad& load, const T* HWY_RESTRICT from, std::int64_t position,
                         T* HWY_RESTRICT to) {
  const bool norm = load.gain != nullptr;
  const Centre c = norm ? load.centre(from, position) : Centre{};
  const auto part = [&](std::int64_t i, std::int64_t n) EVENKEEL_INLINE {
    const VF x = load_n(from + i, n);
    if (!norm) return x;
    return hn::Mul(hn::Mul(hn::Sub(x, set(c.mean)), set(c.inverse_deviation)), load_n(load.gain + i, n));
  };
  if (load.cos == nullptr) {
    for (std::int64_t i = 0; i < load.width; i += lanes())
      store_n(part(i, load.width - i), to + i, load.width - i);
    return;
  }
  const std::int64_t half = load.width / 2;
  for (std::int64_t i = 0; i < half; i += lanes()) {
    const std::int64_t n = half - i;
    const VF x = part(i, n), y = part(half + i, n), cos = load_n(load.cos + position * half + i, n),
             sin = load_n(load.sin + position * half + i, n);
    store_n(hn::NegMulAdd(y, sin, hn::Mul(x, cos)), to + i, n);
    store_n(hn::MulAdd(x, sin, hn::Mul(y, cos)), to + half + i, n);
  }
}

/// The gradient of a transformed row becomes that of the row as it was stored. Adds to the gain's gradient.
/// `g` is used up. When the norm is over all heads, only the rotation is undone here (normalise_back_whole
/// does the rest).
template <class T>
HWY_INLINE void unload_row(const HeadLoad& load, const T* from, std::int64_t position, float* HWY_RESTRICT g,
                           T* HWY_RESTRICT to, float* HWY_RESTRICT d_gain) {
  const std::int64_t n = load.width, half = n / 2;
  if (load.cos != nullptr) {
    for (std::int64_t i = 0; i < half; i += lanes()) {
      const std::int64_t some = half - i;
      const VF x = load_n(g + i, some), y = load_n(g + half + i, some),
               cos = load_n(load.cos + position * half + i, some),
               sin = load_n(load.sin + position * half + i, some);
      store_n(hn::MulAdd(y, sin, hn::Mul(x, cos)), g + i, some);
      store_n(hn::NegMulAdd(x, sin, hn::Mul(y, cos)), g + half + i, some);
    }
  }
  if (load.gain == nullptr || load.centres != nullptr) return copy_row(g, n, to);
  const Centre c = load.centre(from, position);
  const auto normalised = [&](std::int64_t i) EVENKEEL_INLINE {
    const VF centred = hn::Sub(load_n(from + i, n - i, c.mean), set(c.mean));
    return hn::Mul(centred, set(c.inverse_deviation));
  };
  VF total = hn::Zero(f32), along = hn::Zero(f32);
  for (std::int64_t i = 0; i < n; i += lanes()) {
    const VF x = normalised(i), upstream = load_n(g + i, n - i);
    store_n(hn::MulAdd(upstream, x, load_n(d_gain + i, n - i)), d_gain + i, n - i);
    const VF slope = hn::Mul(upstream, load_n(load.gain + i, n - i));
    store_n(slope, g + i, n - i);
    total = hn::Add(total, slope);
    along = hn::MulAdd(slope, x, along);
  }
  const VF mean = set(sum(total) / static_cast<float>(n)), share = set(sum(along) / static_cast<float>(n));
  for (std::int64_t i = 0; i < n; i += lanes()) {
    const VF rest = hn::Sub(load_n(g + i, n - i), hn::MulAdd(normalised(i), share, mean));
    store_n(hn::Mul(set(c.inverse_deviation), rest), to + i, n - i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
