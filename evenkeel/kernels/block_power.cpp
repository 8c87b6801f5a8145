#include "evenkeel/kernels/block_power.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/block_power.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

static_assert(kBlock == 4);

/// u[r, c] = <row r, v_c> of two rows.
HWY_INLINE void two_rows_times(const float* a, const float* b, std::int64_t n, const float* v, float* u) {
  VF a0 = set(0), a1 = set(0), a2 = set(0), a3 = set(0), b0 = set(0), b1 = set(0), b2 = set(0), b3 = set(0);
  for (std::int64_t j = 0; j < n; j += lanes()) {
    const std::int64_t count = std::min(lanes(), n - j);
    const VF x = load_n(a + j, count), y = load_n(b + j, count);
    const VF v0 = load_n(v + j, count), v1 = load_n(v + n + j, count), v2 = load_n(v + 2 * n + j, count),
             v3 = load_n(v + 3 * n + j, count);
    a0 = hn::MulAdd(x, v0, a0);
    a1 = hn::MulAdd(x, v1, a1);
    a2 = hn::MulAdd(x, v2, a2);
    a3 = hn::MulAdd(x, v3, a3);
    b0 = hn::MulAdd(y, v0, b0);
    b1 = hn::MulAdd(y, v1, b1);
    b2 = hn::MulAdd(y, v2, b2);
    b3 = hn::MulAdd(y, v3, b3);
  }
  u[0] = sum(a0);
  u[1] = sum(a1);
  u[2] = sum(a2);
  u[3] = sum(a3);
  u[4] = sum(b0);
  u[5] = sum(b1);
  u[6] = sum(b2);
  u[7] = sum(b3);
}

/// z_c += u[0, c] a + u[1, c] b.
HWY_INLINE void add_two_rows(const float* a, const float* b, std::int64_t n, const float* u, float* z) {
  const VF a0 = set(u[0]), a1 = set(u[1]), a2 = set(u[2]), a3 = set(u[3]), b0 = set(u[4]), b1 = set(u[5]),
           b2 = set(u[6]), b3 = set(u[7]);
  for (std::int64_t j = 0; j < n; j += lanes()) {
    const std::int64_t count = std::min(lanes(), n - j);
    const VF x = load_n(a + j, count), y = load_n(b + j, count);
    float *z0 = z + j, *z1 = z0 + n, *z2 = z1 + n, *z3 = z2 + n;
    store_n(hn::MulAdd(b0, y, hn::MulAdd(a0, x, load_n(z0, count))), z0, count);
    store_n(hn::MulAdd(b1, y, hn::MulAdd(a1, x, load_n(z1, count))), z1, count);
    store_n(hn::MulAdd(b2, y, hn::MulAdd(a2, x, load_n(z2, count))), z2, count);
    store_n(hn::MulAdd(b3, y, hn::MulAdd(a3, x, load_n(z3, count))), z3, count);
  }
}

/// Both for the last row of an odd number: the other one counts as zeros.
HWY_INLINE void row_times(const float* a, std::int64_t n, const float* v, float* u) {
  two_rows_times(a, a, n, v, u);
  u[4] = u[5] = u[6] = u[7] = 0;
}

/// u [rows + 1, kBlock] = A v.
void rows_times_block(const float* a, std::int64_t rows, std::int64_t n, const float* v, float* u) {
  std::int64_t i = 0;
  for (; i + 2 <= rows; i += 2) two_rows_times(a + i * n, a + (i + 1) * n, n, v, u + i * kBlock);
  if (i < rows) row_times(a + i * n, n, v, u + i * kBlock);
}

/// z [kBlock, n] += (A^T u)^T.
void add_rows(const float* a, std::int64_t rows, std::int64_t n, const float* u, float* z) {
  for (std::int64_t i = 0; i < rows; i += 2)
    add_two_rows(a + i * n, a + std::min(i + 1, rows - 1) * n, n, u + i * kBlock, z);
}

/// z [kBlock, n] += (A^T A v)^T, with every row read once.
void add_gram_product(const float* a, std::int64_t rows, std::int64_t n, const float* v, float* z) {
  float u[2 * kBlock];
  for (std::int64_t i = 0; i < rows; i += 2) {
    const float *x = a + i * n, *y = a + std::min(i + 1, rows - 1) * n;
    if (i + 1 < rows) two_rows_times(x, y, n, v, u);
    else row_times(x, n, v, u);
    add_two_rows(x, y, n, u, z);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(rows_times_block);
HWY_EXPORT(add_rows);
HWY_EXPORT(add_gram_product);

void times(const float* a, std::int64_t rows, std::int64_t n, const float* v, float* u) {
  HWY_DYNAMIC_DISPATCH(rows_times_block)(a, rows, n, v, u);
}
void add_transposed(const float* a, std::int64_t rows, std::int64_t n, const float* u, float* z) {
  HWY_DYNAMIC_DISPATCH(add_rows)(a, rows, n, u, z);
}
void add_gram(const float* a, std::int64_t rows, std::int64_t n, const float* v, float* z) {
  HWY_DYNAMIC_DISPATCH(add_gram_product)(a, rows, n, v, z);
}

// Only checks compute in double.
void times(const double* a, std::int64_t rows, std::int64_t n, const double* v, double* u) {
  std::fill_n(u, rows * kBlock, 0.0);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t c = 0; c < kBlock; ++c) u[i * kBlock + c] += a[i * n + j] * v[c * n + j];
}
void add_transposed(const double* a, std::int64_t rows, std::int64_t n, const double* u, double* z) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < kBlock; ++c)
      for (std::int64_t j = 0; j < n; ++j) z[c * n + j] += u[i * kBlock + c] * a[i * n + j];
}
void add_gram(const double* a, std::int64_t rows, std::int64_t n, const double* v, double* z) {
  double u[kBlock];
  for (std::int64_t i = 0; i < rows; ++i) {
    times(a + i * n, 1, n, v, u);
    add_transposed(a + i * n, 1, n, u, z);
  }
}

using Small = std::array<std::array<double, kBlock>, kBlock>;

/// x y^T for blocks given by rows.
template <class T>
Small inner_products(const T* x, const T* y, std::int64_t n) {
  Small sums{};
  for (std::int64_t j = 0; j < n; ++j)
    for (std::size_t a = 0; a < kBlock; ++a)
      for (std::size_t b = 0; b < kBlock; ++b)
        sums[a][b] += static_cast<double>(x[static_cast<std::int64_t>(a) * n + j]) *
                      static_cast<double>(y[static_cast<std::int64_t>(b) * n + j]);
  return sums;
}

/// Eigenvectors of a symmetric matrix as columns, largest eigenvalue first, by Jacobi rotations; `a` becomes
/// diagonal.
Small eigenvectors(Small& a) {
  Small r{};
  for (std::size_t i = 0; i < kBlock; ++i) r[i][i] = 1;
  for (int sweep = 0; sweep < 12; ++sweep)
    for (std::size_t p = 0; p < kBlock; ++p)
      for (std::size_t q = p + 1; q < kBlock; ++q) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::hypot(theta, 1)),
                     c = 1 / std::hypot(t, 1), s = t * c;
        for (std::size_t i = 0; i < kBlock; ++i) {
          const double x = a[i][p], y = a[i][q];
          a[i][p] = c * x - s * y;
          a[i][q] = s * x + c * y;
        }
        for (std::size_t i = 0; i < kBlock; ++i) {
          const double x = a[p][i], y = a[q][i];
          a[p][i] = c * x - s * y;
          a[q][i] = s * x + c * y;
        }
        a[p][q] = a[q][p] = 0;
        for (Small::value_type& row : r) {
          const double x = row[p], y = row[q];
          row[p] = c * x - s * y;
          row[q] = s * x + c * y;
        }
      }
  for (std::size_t i = 0; i < kBlock; ++i)
    for (std::size_t j = i + 1; j < kBlock; ++j)
      if (a[j][j] > a[i][i]) {
        std::swap(a[i][i], a[j][j]);
        for (Small::value_type& row : r) std::swap(row[i], row[j]);
      }
  return r;
}

Small product(const Small& x, const Small& y) {
  Small out{};
  for (std::size_t i = 0; i < kBlock; ++i)
    for (std::size_t k = 0; k < kBlock; ++k)
      for (std::size_t j = 0; j < kBlock; ++j) out[i][j] += x[i][k] * y[k][j];
  return out;
}
Small transposed(const Small& x) {
  Small out{};
  for (std::size_t i = 0; i < kBlock; ++i)
    for (std::size_t j = 0; j < kBlock; ++j) out[j][i] = x[i][j];
  return out;
}

/// C, upper triangular, with C^T S C = 1 on the columns that are independent and zero columns elsewhere.
Small orthonormaliser(const Small& s) {
  constexpr double kDependent = 1e-12;  // of the largest square: what is left is rounding of fp32
  Small c{};
  for (std::size_t j = 0; j < kBlock; ++j) {
    // Gram-Schmidt on the unit vector j in the inner product of S, twice.
    std::array<double, kBlock> x{};
    x[j] = 1;
    double square = 0;
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < j; ++i) {
        double along = 0;
        for (std::size_t a = 0; a < kBlock; ++a)
          for (std::size_t b = 0; b < kBlock; ++b) along += c[a][i] * s[a][b] * x[b];
        for (std::size_t a = 0; a < kBlock; ++a) x[a] -= along * c[a][i];
      }
    }
    for (std::size_t a = 0; a < kBlock; ++a)
      for (std::size_t b = 0; b < kBlock; ++b) square += x[a] * s[a][b] * x[b];
    if (!(square > kDependent * s[0][0])) continue;
    for (std::size_t a = 0; a < kBlock; ++a) c[a][j] = x[a] / std::sqrt(square);
  }
  return c;
}

/// y_c = sum_a coefficients[a, c] x_a.
template <class T>
void combine(const T* x, const Small& coefficients, std::int64_t n, T* y) {
  for (std::int64_t j = 0; j < n; ++j) {
    std::array<double, kBlock> out{};
    for (std::size_t a = 0; a < kBlock; ++a)
      for (std::size_t c = 0; c < kBlock; ++c)
        out[c] += coefficients[a][c] * static_cast<double>(x[static_cast<std::int64_t>(a) * n + j]);
    for (std::size_t c = 0; c < kBlock; ++c) y[static_cast<std::int64_t>(c) * n + j] = static_cast<T>(out[c]);
  }
}

template <class T>
bool is_zero(const T* x, std::int64_t n) {
  return std::all_of(x, x + n, [](T value) { return value == 0; });
}

/// Orthonormal columns: those that are zero or depend on the ones before them become random directions. Only
/// the first n can be independent.
template <class T>
void fill_block(T* v, std::int64_t n) {
  for (std::int64_t c = 0; c < std::min(kBlock, n); ++c) {
    T* x = v + c * n;
    Rng rng(static_cast<std::uint64_t>(c), "kernels/block_power");
    for (int attempt = 0; attempt < 8; ++attempt) {
      if (is_zero(x, n) || attempt > 0)
        for (std::int64_t j = 0; j < n; ++j) x[j] = static_cast<T>(rng.normal());
      double before = 0, after = 0;
      for (std::int64_t j = 0; j < n; ++j) before += static_cast<double>(x[j]) * static_cast<double>(x[j]);
      for (int round = 0; round < 2; ++round)
        for (std::int64_t i = 0; i < c; ++i) {
          double along = 0;
          for (std::int64_t j = 0; j < n; ++j)
            along += static_cast<double>(x[j]) * static_cast<double>(v[i * n + j]);
          for (std::int64_t j = 0; j < n; ++j)
            x[j] = static_cast<T>(static_cast<double>(x[j]) - along * static_cast<double>(v[i * n + j]));
        }
      for (std::int64_t j = 0; j < n; ++j) after += static_cast<double>(x[j]) * static_cast<double>(x[j]);
      for (std::int64_t j = 0; j < n; ++j)
        x[j] = static_cast<T>(static_cast<double>(x[j]) / std::sqrt(after));
      if (after > 1e-6 * before) break;
    }
  }
}

/// z = A^T A v; `u` and `w` are room for what lies between the factors of a product.
template <class T>
void apply(const PowerOperator<T>& a, std::vector<T>& u, std::vector<T>& w, std::vector<T>& z) {
  std::fill(z.begin(), z.end(), T(0));
  if (a.left == nullptr) return add_gram(a.right, a.k, a.n, a.block, z.data());
  times(a.right, a.k, a.n, a.block, u.data());
  std::fill(w.begin(), w.end(), T(0));
  add_transposed(a.left, a.k, a.m, u.data(), w.data());
  times(a.left, a.k, a.m, w.data(), u.data());
  add_transposed(a.right, a.k, a.n, u.data(), z.data());
}

template <class T>
TopSingular of_one(const PowerOperator<T>& a, double tolerance, int most) {
  const auto count = static_cast<std::size_t>(kBlock * a.n);
  const bool is_product = a.left != nullptr;
  std::vector<T> z(count), u(is_product ? static_cast<std::size_t>((a.k + 1) * kBlock) : 0),
      w(is_product ? static_cast<std::size_t>(a.m * kBlock) : 0);
  T* v = a.block;
  fill_block(v, a.n);
  TopSingular top;
  while (true) {
    apply(a, u, w, z);
    ++top.iterations;
    Small g = inner_products(v, z.data(), a.n), s = inner_products(z.data(), z.data(), a.n);
    for (std::size_t i = 0; i < kBlock; ++i)
      for (std::size_t j = 0; j < i; ++j) g[i][j] = g[j][i] = (g[i][j] + g[j][i]) / 2;
    const Small r = eigenvectors(g);
    const double lambda = g[0][0];
    if (s[0][0] + s[1][1] + s[2][2] + s[3][3] == 0) {
      top.sigma = top.residual = 0;
      return top;
    }
    double squares = 0;
    for (std::int64_t j = 0; j < a.n; ++j) {
      double difference = 0;
      for (std::size_t c = 0; c < kBlock; ++c) {
        const std::int64_t at = static_cast<std::int64_t>(c) * a.n + j;
        difference += r[c][0] * (static_cast<double>(z[static_cast<std::size_t>(at)]) -
                                 lambda * static_cast<double>(v[at]));
      }
      squares += difference * difference;
    }
    top.sigma = std::sqrt(lambda);
    top.residual = std::sqrt(squares) / lambda;
    if (!std::isfinite(top.residual) || !(lambda > 0)) {
      std::fill_n(v, count, T(0));
      top.sigma = top.residual = std::numeric_limits<double>::quiet_NaN();
      return top;
    }
    combine(z.data(), product(r, orthonormaliser(product(transposed(r), product(s, r)))), a.n, v);
    for (std::int64_t c = 0; c < std::min(kBlock, a.n); ++c)
      if (is_zero(v + c * a.n, a.n)) {
        fill_block(v, a.n);
        break;
      }
    if (top.residual <= tolerance || top.iterations >= most) return top;
  }
}

}  // namespace

template <class T>
std::vector<TopSingular> top_singular_values(std::span<const PowerOperator<T>> operators, double tolerance,
                                             int most) {
  std::vector<TopSingular> all(operators.size());
  parallel_for(std::ssize(operators), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    all[at] = of_one(operators[at], tolerance, most);
  });
  return all;
}
template std::vector<TopSingular> top_singular_values(std::span<const PowerOperator<float>>, double, int);
template std::vector<TopSingular> top_singular_values(std::span<const PowerOperator<double>>, double, int);

}  // namespace evenkeel::kernels
#endif
