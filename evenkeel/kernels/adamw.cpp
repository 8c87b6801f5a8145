#include "evenkeel/kernels/adamw.h"

#include <cmath>
#include <limits>
#include <vector>

#include "evenkeel/kernels/chunks.h"
#include "evenkeel/kernels/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/adamw.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

#ifndef EVENKEEL_KERNELS_ADAMW_CONSTANTS
#define EVENKEEL_KERNELS_ADAMW_CONSTANTS
namespace evenkeel::kernels {
namespace {

/// What an update multiplies with, in the type it computes in.
template <class T>
struct Constants {
  Constants(const AdamWStep& step, const AdamWTensor<T>& tensor)
      : b1(static_cast<T>(step.beta1)),
        c1(static_cast<T>(1 - step.beta1)),
        b2(static_cast<T>(step.beta2)),
        c2(static_cast<T>(1 - step.beta2)),
        eps(static_cast<T>(step.eps)),
        decay(static_cast<T>(step.decay * tensor.decay)),
        rate(static_cast<T>(step.lr * tensor.rate)),
        mean(static_cast<T>(1 / step.correction1)),
        root(static_cast<T>(1 / std::sqrt(step.correction2))),
        least(std::sqrt(std::numeric_limits<T>::min()) * root),
        factor(static_cast<T>(step.gradient_factor)) {}
  T b1, c1, b2, c2, eps, decay, rate, mean, root;
  T least;  ///< what a denominator of 0 counts as
  T factor;
};

}  // namespace
}  // namespace evenkeel::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

template <bool kMeasure>
AdamWSquares update(const AdamWTensor<float>& t, std::int64_t begin, std::int64_t n,
                    const Constants<float>& c) {
  float *p = t.p + begin, *m = t.m + begin, *v = t.v + begin;
  const float* g = t.g != nullptr ? t.g + begin : nullptr;
  SquareSum update[2], delta[2], gradient[2], param[2];
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int k) EVENKEEL_INLINE {
    const VF grad = g != nullptr ? hn::Mul(load_n(g + i, count), set(c.factor)) : set(0);
    const VF before = load_n(p + i, count);
    const VF first = hn::MulAdd(set(c.b1), load_n(m + i, count), hn::Mul(set(c.c1), grad));
    const VF second = hn::MulAdd(set(c.b2), load_n(v + i, count), hn::Mul(set(c.c2), hn::Mul(grad, grad)));
    const VF sum = hn::MulAdd(hn::Sqrt(second), set(c.root), set(c.eps));
    const VF scale = hn::IfThenElse(hn::Eq(sum, set(0)), set(c.least), sum);
    const VF step = keep_first(hn::Div(hn::Mul(set(c.mean), first), scale), count);
    const VF change = hn::MulAdd(set(c.rate), step, hn::Mul(set(c.decay), before));
    store_n(first, m + i, count);
    store_n(second, v + i, count);
    store_n(hn::Sub(before, change), p + i, count);
    if constexpr (kMeasure) {
      update[k].add(change);
      delta[k].add(step);
      gradient[k].add(grad);
      param[k].add(before);
    }
  });
  const auto total = [](const SquareSum(&parts)[2]) { return parts[0].total() + parts[1].total(); };
  return kMeasure ? AdamWSquares{total(update), total(delta), total(gradient), total(param)} : AdamWSquares{};
}

AdamWSquares update_float(const AdamWTensor<float>& t, std::int64_t begin, std::int64_t n,
                          const Constants<float>& c, bool measure) {
  return measure ? update<true>(t, begin, n, c) : update<false>(t, begin, n, c);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(update_float);

AdamWSquares update_chunk(const AdamWTensor<float>& t, std::int64_t begin, std::int64_t n,
                          const AdamWStep& step, bool measure) {
  return HWY_DYNAMIC_DISPATCH(update_float)(t, begin, n, Constants<float>(step, t), measure);
}

AdamWSquares update_chunk(const AdamWTensor<double>& t, std::int64_t begin, std::int64_t n,
                          const AdamWStep& step, bool /*measure*/) {
  const Constants<double> c(step, t);
  AdamWSquares squares;
  for (std::int64_t i = begin; i < begin + n; ++i) {
    const double g = t.g != nullptr ? t.g[i] * c.factor : 0, before = t.p[i];
    t.m[i] = c.b1 * t.m[i] + c.c1 * g;
    t.v[i] = c.b2 * t.v[i] + c.c2 * (g * g);
    const double sum = std::sqrt(t.v[i]) * c.root + c.eps, scale = sum == 0 ? c.least : sum;
    const double delta = c.mean * t.m[i] / scale;
    const double change = c.rate * delta + c.decay * before;
    t.p[i] = before - change;
    squares.update += change * change;
    squares.delta += delta * delta;
    squares.gradient += g * g;
    squares.param += before * before;
  }
  return squares;
}

template <class T>
void run(std::span<const AdamWTensor<T>> tensors, const AdamWStep& step, AdamWSquares* squares) {
  std::vector<std::int64_t> lengths;
  for (const AdamWTensor<T>& tensor : tensors) lengths.push_back(tensor.n);
  const std::vector<Chunk> chunks = chunks_of(lengths);
  std::vector<AdamWSquares> parts(chunks.size());
  parallel_for(std::ssize(chunks), [&](std::int64_t i) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(i)];
    parts[static_cast<std::size_t>(i)] =
        update_chunk(tensors[chunk.array], chunk.begin, chunk.size, step, squares != nullptr);
  });
  if (squares == nullptr) return;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    AdamWSquares& sum = squares[chunks[i].array];
    sum.update += parts[i].update;
    sum.delta += parts[i].delta;
    sum.gradient += parts[i].gradient;
    sum.param += parts[i].param;
  }
}

template <class T>
void run_one(const AdamWTensor<T>& tensor, const AdamWStep& step, AdamWSquares* squares) {
  run(std::span<const AdamWTensor<T>>(&tensor, 1), step, squares);
}

}  // namespace

void adamw(std::span<const AdamWTensor<float>> tensors, const AdamWStep& step, AdamWSquares* squares) {
  run(tensors, step, squares);
}
void adamw(std::span<const AdamWTensor<double>> tensors, const AdamWStep& step, AdamWSquares* squares) {
  run(tensors, step, squares);
}
void adamw(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares) {
  run_one<float>({p, g, m, v, n}, step, squares);
}
void adamw(double* p, const double* g, double* m, double* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares) {
  run_one<double>({p, g, m, v, n}, step, squares);
}

}  // namespace evenkeel::kernels
#endif
