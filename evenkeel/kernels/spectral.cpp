#include "evenkeel/kernels/spectral.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "evenkeel/kernels/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/spectral.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

float dot(const float* a, const float* b, std::int64_t n) {
  VF even = set(0), odd = set(0);
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int k) EVENKEEL_INLINE {
    VF& sum = k == 0 ? even : odd;
    sum = hn::MulAdd(load_n(a + i, count), load_n(b + i, count), sum);
  });
  return hn::GetLane(hn::SumOfLanes(f32, hn::Add(even, odd)));
}

/// sum += factor x
void add_scaled(const float* x, float factor, std::int64_t n, float* sum) {
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int) EVENKEEL_INLINE {
    store_n(hn::MulAdd(set(factor), load_n(x + i, count), load_n(sum + i, count)), sum + i, count);
  });
}

/// y = W u of `m` rows and z = W^T y.
void both_products(const float* const* rows, std::int64_t m, std::int64_t n, const float* u, float* y,
                   float* z) {
  std::fill_n(z, n, 0.0f);
  for (std::int64_t i = 0; i < m; ++i) {
    y[i] = dot(rows[i], u, n);
    add_scaled(rows[i], y[i], n, z);
  }
}

void scale(const float* x, float factor, std::int64_t n, float* out) {
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int) EVENKEEL_INLINE {
    store_n(hn::Mul(set(factor), load_n(x + i, count)), out + i, count);
  });
}

void subtract_row(const float* g, float factor, float along, const float* u, std::int64_t n, float* out) {
  vector_loop(n, [&](std::int64_t i, std::int64_t count, int) EVENKEEL_INLINE {
    const VF scaled = hn::Mul(set(factor), load_n(g + i, count));
    store_n(hn::NegMulAdd(set(along), load_n(u + i, count), scaled), out + i, count);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(both_products);
HWY_EXPORT(dot);
HWY_EXPORT(scale);
HWY_EXPORT(subtract_row);

constexpr std::int64_t kValues = 16384;  // of a chunk: 64 KB, which stay in the second-level cache

/// Calls body(chunk, first row, number of rows) for chunks of rows of n values.
template <class Body>
void for_chunks(std::int64_t m, std::int64_t rows, const Body& body) {
  parallel_for((m + rows - 1) / rows,
               [&](std::int64_t c) { body(c, c * rows, std::min(rows, m - c * rows)); });
}

std::int64_t chunk_rows(std::int64_t n) {
  return std::max<std::int64_t>(1, kValues / n);
}

double norm(const double* x, std::int64_t n) {
  double squares = 0;
  for (std::int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  return std::sqrt(squares);
}

}  // namespace

PowerIteration power_iterate(const WeightRows& rows, std::int64_t n, float* u, float* v, double tolerance,
                             int most) {
  const auto m = std::ssize(rows);
  const std::int64_t step = chunk_rows(n), chunks = (m + step - 1) / step;
  std::vector<float> parts(static_cast<std::size_t>(chunks * n));
  std::vector<double> y(static_cast<std::size_t>(m)), z(static_cast<std::size_t>(n));
  PowerIteration result;
  const auto without = [&](double answer) {
    std::fill_n(v, m, static_cast<float>(answer));
    result.sigma = result.residual = answer;
    return result;
  };
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  for (;;) {
    for_chunks(m, step, [&](std::int64_t c, std::int64_t first, std::int64_t count) {
      HWY_DYNAMIC_DISPATCH(both_products)
      (rows.data() + first, count, n, u, v + first, parts.data() + c * n);
    });
    std::copy_n(v, m, y.begin());
    const double along = norm(y.data(), m);  // v^T W u
    ++result.iterations;
    if (!std::isfinite(along)) return without(kNaN);
    if (along == 0) return without(0);
    std::fill(z.begin(), z.end(), 0.0);
    for (std::int64_t c = 0; c < chunks; ++c)
      for (std::int64_t j = 0; j < n; ++j)
        z[static_cast<std::size_t>(j)] += static_cast<double>(parts[static_cast<std::size_t>(c * n + j)]);
    for (double& x : z) x /= along;
    result.sigma = norm(z.data(), n);
    if (!std::isfinite(result.sigma)) return without(kNaN);
    if (result.sigma == 0) return without(0);  // W^T v underflows where W u does not: as good as zero
    double squares = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      const double left = z[static_cast<std::size_t>(j)] - along * static_cast<double>(u[j]);
      squares += left * left;
    }
    result.residual = std::sqrt(squares) / result.sigma;
    for (std::int64_t i = 0; i < m; ++i) v[i] = static_cast<float>(y[static_cast<std::size_t>(i)] / along);
    for (std::int64_t j = 0; j < n; ++j)
      u[j] = static_cast<float>(z[static_cast<std::size_t>(j)] / result.sigma);
    if (!(result.residual > tolerance) || result.iterations >= most) return result;
  }
}

void scale_rows(const WeightRows& rows, std::int64_t n, float factor, const GradientRows& out) {
  for_chunks(std::ssize(rows), chunk_rows(n), [&](std::int64_t, std::int64_t first, std::int64_t count) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + count); ++i)
      HWY_DYNAMIC_DISPATCH(scale)(rows[i], factor, n, out[i]);
  });
}

double inner_product(const WeightRows& g, const WeightRows& w, std::int64_t n) {
  const std::int64_t step = chunk_rows(n);
  std::vector<double> parts(static_cast<std::size_t>((std::ssize(w) + step - 1) / step));
  for_chunks(std::ssize(w), step, [&](std::int64_t c, std::int64_t first, std::int64_t count) {
    double sum = 0;
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + count); ++i)
      sum += static_cast<double>(HWY_DYNAMIC_DISPATCH(dot)(g[i], w[i], n));
    parts[static_cast<std::size_t>(c)] = sum;
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

void subtract_rank_one(const WeightRows& g, std::int64_t n, float factor, float along, const float* v,
                       const float* u, const GradientRows& out) {
  for_chunks(std::ssize(g), chunk_rows(n), [&](std::int64_t, std::int64_t first, std::int64_t count) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + count); ++i)
      HWY_DYNAMIC_DISPATCH(subtract_row)(g[i], factor, factor * along * v[i], u, n, out[i]);
  });
}

}  // namespace evenkeel::kernels
#endif
