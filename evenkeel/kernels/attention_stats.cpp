#include "evenkeel/kernels/attention_stats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace evenkeel::kernels {
namespace {

constexpr int kLanes = 16;

/// Sums over the visible part of one row.
template <class T>
struct Row {
  T max, min, largest_weight;
  double squares, weighted_drop, cosine;
};

template <class T>
[[gnu::always_inline]] inline Row<T> scan(const T* __restrict z, const T* __restrict p,
                                          const T* __restrict k_inverse, std::int64_t n) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  T top[kLanes], bottom[kLanes], heaviest[kLanes], squares[kLanes] = {}, cosine[kLanes] = {},
                                                   drop[kLanes] = {};
  for (int l = 0; l < kLanes; ++l) {
    top[l] = kLowest;
    bottom[l] = -kLowest;
    heaviest[l] = 0;
  }
  const std::int64_t whole = n - n % kLanes;
  const auto first_pass = [&](std::int64_t i, int l) {
    top[l] = z[i] > top[l] ? z[i] : top[l];
    bottom[l] = z[i] < bottom[l] ? z[i] : bottom[l];
    heaviest[l] = p[i] > heaviest[l] ? p[i] : heaviest[l];
    squares[l] += z[i] * z[i];
    cosine[l] += z[i] * k_inverse[i];
  };
  for (std::int64_t i = 0; i < whole; i += kLanes)
    for (int l = 0; l < kLanes; ++l) first_pass(i + l, l);
  for (std::int64_t i = whole; i < n; ++i) first_pass(i, static_cast<int>(i - whole));

  Row<T> row{kLowest, -kLowest, 0, 0, 0, 0};
  for (int l = 0; l < kLanes; ++l) {
    row.max = std::max(row.max, top[l]);
    row.min = std::min(row.min, bottom[l]);
    row.largest_weight = std::max(row.largest_weight, heaviest[l]);
    row.squares += static_cast<double>(squares[l]);
    row.cosine += static_cast<double>(cosine[l]);
  }
  const T max = row.max;
  const auto second_pass = [&](std::int64_t i, int l) {
    drop[l] += p[i] > T{0} ? p[i] * (z[i] - max) : T{0};
  };
  for (std::int64_t i = 0; i < whole; i += kLanes)
    for (int l = 0; l < kLanes; ++l) second_pass(i + l, l);
  for (std::int64_t i = whole; i < n; ++i) second_pass(i, static_cast<int>(i - whole));
  for (const T part : drop) row.weighted_drop += static_cast<double>(part);
  return row;
}

Row<float> scan_row(const float* z, const float* p, const float* k_inverse, std::int64_t n) {
  return scan(z, p, k_inverse, n);
}
Row<double> scan_row(const double* z, const double* p, const double* k_inverse, std::int64_t n) {
  return scan(z, p, k_inverse, n);
}

template <class T>
double norm(const T* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return std::sqrt(sum);
}

/// Adds one sequence of one head to the running sums in `out`.
template <class T>
void add_sequence(const T* logits, const T* weights, const T* q, const T* k, std::int64_t time,
                  std::int64_t width, std::vector<T>& k_inverse, AttentionStats& out) {
  // Logits are q.k / sqrt(K), so the cosine follows from them without another product.
  const double root = std::sqrt(static_cast<double>(width));
  for (std::int64_t j = 0; j < time; ++j) {
    const double length = norm(k + j * width, width);
    k_inverse[static_cast<std::size_t>(j)] = static_cast<T>(length > 0 ? 1 / length : 0);
    out.k_norm += length;
  }
  for (std::int64_t i = 0; i < time; ++i) {
    const double length = norm(q + i * width, width);
    out.q_norm += length;
    const Row<T> row = scan_row(logits + i * time, weights + i * time, k_inverse.data(), i + 1);
    out.logit_max = std::max(out.logit_max, static_cast<double>(row.max));
    out.logit_absmax =
        std::max({out.logit_absmax, static_cast<double>(row.max), -static_cast<double>(row.min)});
    out.logit_rms += row.squares;
    if (length > 0) out.qk_cosine += row.cosine * root / length;
    if (i == 0) continue;
    // Weights are all NaN when a logit is infinite; a comparison must not turn that into an entropy of zero.
    const double entropy =
        row.largest_weight > 0
            ? std::max(0.0, -std::log(static_cast<double>(row.largest_weight)) - row.weighted_drop)
            : std::numeric_limits<double>::quiet_NaN();
    out.entropy += entropy;
    out.entropy_norm += entropy / std::log(static_cast<double>(i + 1));
  }
}

template <class T>
void stats(const T* logits, const T* weights, const T* q, const T* k, const AttentionShape& s,
           AttentionStats* out) {
  std::vector<T> k_inverse(static_cast<std::size_t>(s.time));
  const double batch = static_cast<double>(s.batch), time = static_cast<double>(s.time);
  for (std::int64_t h = 0; h < s.heads; ++h) {
    AttentionStats sum;
    sum.logit_max = -std::numeric_limits<double>::infinity();
    for (std::int64_t b = 0; b < s.batch; ++b) {
      const std::int64_t index = b * s.heads + h, square = index * s.time * s.time,
                         line = index * s.time * s.head_width;
      add_sequence(logits + square, weights + square, q + line, k + line, s.time, s.head_width, k_inverse,
                   sum);
    }
    const double visible = batch * time * (time + 1) / 2, rows = batch * time, wide_rows = batch * (time - 1);
    sum.logit_rms = std::sqrt(sum.logit_rms / visible);
    sum.qk_cosine /= visible;
    sum.q_norm /= rows;
    sum.k_norm /= rows;
    sum.entropy = wide_rows > 0 ? sum.entropy / wide_rows : 0;
    sum.entropy_norm = wide_rows > 0 ? sum.entropy_norm / wide_rows : 0;
    if (std::isnan(sum.logit_rms)) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      sum.logit_max = sum.logit_absmax = sum.entropy = sum.entropy_norm = sum.qk_cosine = nan;
    }
    out[h] = sum;
  }
}

}  // namespace

void attention_stats(const float* logits, const float* weights, const float* q, const float* k,
                     const AttentionShape& shape, AttentionStats* out) {
  stats(logits, weights, q, k, shape, out);
}
void attention_stats(const double* logits, const double* weights, const double* q, const double* k,
                     const AttentionShape& shape, AttentionStats* out) {
  stats(logits, weights, q, k, shape, out);
}

}  // namespace evenkeel::kernels
