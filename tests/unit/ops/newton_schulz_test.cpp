// The iteration of Muon against its equations, and what it promises.
#include "evenkeel/ops/newton_schulz.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/ops/threads.h"
#include "tests/support/parameters.h"

namespace evenkeel::ops {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix transposed(const Matrix& x) {
  Matrix y(x[0].size(), std::vector<double>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[0].size(); ++j) y[j][i] = x[i][j];
  return y;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size(), 0));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b[0].size(); ++j)
      for (std::size_t k = 0; k < b.size(); ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

/// The equations as they are printed, one number at a time.
Matrix naive(Matrix x, int steps) {
  const bool tall = x.size() > x[0].size();
  if (tall) x = transposed(x);
  double squares = 0;
  for (const auto& row : x)
    for (const double v : row) squares += v * v;
  for (auto& row : x)
    for (double& v : row) v /= std::sqrt(squares) + 1e-7;
  for (int step = 0; step < steps; ++step) {
    const Matrix a = product(x, transposed(x)), a2 = product(a, a);
    Matrix b = a;
    for (std::size_t i = 0; i < a.size(); ++i)
      for (std::size_t j = 0; j < a.size(); ++j) b[i][j] = -4.7750 * a[i][j] + 2.0315 * a2[i][j];
    const Matrix bx = product(b, x);
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[0].size(); ++j) x[i][j] = 3.4445 * x[i][j] + bx[i][j];
  }
  return tall ? transposed(x) : x;
}

double largest_difference(const at::Tensor& got, const Matrix& want) {
  const at::Tensor wide = got.to(at::kDouble).contiguous();
  double most = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::size_t j = 0; j < want[0].size(); ++j)
      most = std::max(most, std::abs(wide.data_ptr<double>()[i * want[0].size() + j] - want[i][j]));
  return most;
}

Matrix numbers(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kDouble).contiguous();
  Matrix all;
  for (std::int64_t i = 0; i < x.size(0); ++i)
    all.emplace_back(wide.data_ptr<double>() + i * x.size(1), wide.data_ptr<double>() + (i + 1) * x.size(1));
  return all;
}

TEST(NewtonSchulz, KnownAnswers) {
  const at::Tensor g = at::tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, at::kDouble).view({2, 3});
  const at::Tensor o = newton_schulz(g, 5);
  EXPECT_LT(largest_difference(o, {{-0.568290, 0.057742, 0.683774}, {0.563355, 0.405613, 0.247871}}), 1e-6);
  const auto [u, s, v] = at::linalg_svd(o, false);
  EXPECT_NEAR(s[0].item<double>(), 0.920395, 1e-6);
  EXPECT_NEAR(s[1].item<double>(), 0.700027, 1e-6);
  const at::Tensor d = at::tensor({3.0, 0.0, 0.0, 4.0}, at::kDouble).view({2, 2});
  EXPECT_LT(largest_difference(newton_schulz(d, 5), {{0.722876, 0}, {0, 1.119204}}), 1e-6);
}

TEST(NewtonSchulz, IsTheEquationInAllShapesAndBothTypes) {
  for (const auto& [rows, columns] : {std::pair{1, 1}, {1, 9}, {9, 1}, {17, 40}, {40, 17}, {33, 33}}) {
    const at::Tensor g = test::random_normal({rows, columns}, 3);
    const Matrix want = naive(numbers(g), 5);
    EXPECT_LT(largest_difference(newton_schulz(g, 5), want), 1e-12) << rows << " " << columns;
    // Five steps whose slope at a singular value is 3.4445 at most: rounding of 6e-8 grows to 3e-5 at most.
    EXPECT_LT(largest_difference(newton_schulz(g.to(at::kFloat), 5), want), 3e-5) << rows << " " << columns;
    EXPECT_LT(largest_difference(newton_schulz_plain(g.to(at::kFloat), 5), want), 3e-5);
  }
}

// Singular values of 0.02 |G| and more are in [0.68, 1.14] after five steps, whatever the size of G.
TEST(NewtonSchulz, SingularValuesAreNearOne) {
  const at::Tensor g = test::random_normal({24, 48}, 5, at::kFloat);
  for (const double size : {1e-3, 1.0, 1e6}) {
    const auto [u, s, v] = at::linalg_svd(newton_schulz(g * size, 5).to(at::kDouble), false);
    EXPECT_GT(s.min().item<double>(), 0.68);
    EXPECT_LT(s.max().item<double>(), 1.14);
  }
  EXPECT_EQ(newton_schulz(at::zeros({3, 5}), 5).abs().max().item<double>(), 0);
}

TEST(NewtonSchulz, BitsDoNotDependOnThreads) {
  const at::Tensor g = test::random_normal({130, 70}, 7, at::kFloat);
  ops::set_threads(1);
  const at::Tensor one = newton_schulz(g, 5);
  ops::set_threads(3);
  const at::Tensor three = newton_schulz(g, 5);
  ops::set_threads(1);
  EXPECT_TRUE(one.equal(three));
}

TEST(NewtonSchulz, TakesMatricesAlone) {
  EXPECT_THROW(newton_schulz(at::zeros({3}), 5), std::invalid_argument);
}

}  // namespace
}  // namespace evenkeel::ops
