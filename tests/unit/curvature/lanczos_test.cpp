#include "evenkeel/curvature/lanczos.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/small_model.h"

namespace evenkeel::curvature {
namespace {

TopEigenvalue of(const at::Tensor& a, const LanczosOptions& options, std::uint64_t seed = 1) {
  return top_eigenvalue([&](const at::Tensor& v) { return a.mv(v); },
                        test::random_normal({a.size(0)}, seed, a.scalar_type()), options);
}

at::Tensor with_eigenvalues(const at::Tensor& values, std::uint64_t seed) {
  const at::Tensor q =
      std::get<0>(at::linalg_qr(test::random_normal({values.numel(), values.numel()}, seed)));
  return q.matmul(at::diag(values)).matmul(q.t());
}

TEST(Lanczos, FindsTheLargestEigenvalueAndSaysHowWell) {
  const at::Tensor x = test::random_normal({200, 200}, 3), a = (x + x.t()) / 2;
  const double largest = at::linalg_eigvalsh(a).max().item<double>();
  const TopEigenvalue rough = of(a, {1e-2, 200}), fine = of(a, {1e-8, 200});
  EXPECT_LE(rough.residual, 1e-2);
  EXPECT_LE(fine.residual, 1e-8);
  EXPECT_LT(rough.iterations, fine.iterations);
  EXPECT_LT(fine.iterations, 200);
  EXPECT_NEAR(fine.value / largest, 1, 1e-12) << "the error is about the square of the residual";
  EXPECT_LE(rough.value, largest * (1 + 1e-12)) << "a Ritz value is never above";
  EXPECT_GE(rough.value, largest * (1 - 1e-2)) << "an eigenvalue lies within the residual";
}

TEST(Lanczos, TheLargestIsNotTheLargestInSize) {
  EXPECT_NEAR(of(with_eigenvalues(at::tensor({-9.0, -1.0, 0.5, 2.0}), 4), {1e-10, 40}).value, 2, 1e-12);
  EXPECT_NEAR(of(with_eigenvalues(at::tensor({-9.0, -1.0, -0.5}), 5), {1e-10, 40}).value, -0.5, 1e-12);
}

TEST(Lanczos, EqualEigenvaluesAndSmallMatrices) {
  const TopEigenvalue twice = of(with_eigenvalues(at::tensor({1.0, 3.0, 3.0, 3.0, 2.0}), 6), {1e-10, 40});
  EXPECT_NEAR(twice.value, 3, 1e-12);
  EXPECT_LE(twice.iterations, 5) << "three different eigenvalues";
  const TopEigenvalue one = of(at::eye(1, at::kDouble) * -4, {1e-10, 40});
  EXPECT_EQ(one.value, -4);
  EXPECT_EQ(one.iterations, 1);
  const TopEigenvalue zero = of(at::zeros({7, 7}, at::kDouble), {1e-10, 40});
  EXPECT_EQ(zero.value, 0);
  EXPECT_EQ(zero.residual, 0);
}

TEST(Lanczos, StopsAtTheMostItMayDoAndSaysHowFarItCame) {
  const at::Tensor x = test::random_normal({100, 100}, 7), a = (x + x.t()) / 2;
  const TopEigenvalue cut = of(a, {1e-8, 5});
  EXPECT_EQ(cut.iterations, 5);
  EXPECT_GT(cut.residual, 1e-8);
  const double largest = at::linalg_eigvalsh(a).max().item<double>();
  EXPECT_GE(cut.value + cut.residual * std::abs(cut.value), largest * 0.5) << "it is on its way";
}

TEST(Lanczos, WhatIsNotFiniteGivesNoNumber) {
  at::Tensor a = at::eye(4, at::kDouble);
  a[2][1] = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isnan(of(a, {}).value));
}

TEST(Lanczos, SinglePrecision) {
  const at::Tensor x = test::random_normal({60, 60}, 8), a = (x + x.t()) / 2;
  const double largest = at::linalg_eigvalsh(a).max().item<double>();
  // Products of 60 terms in fp32 are good to a few 1e-7.
  EXPECT_NEAR(of(a.to(at::kFloat), {1e-3, 60}).value / largest, 1, 1e-5);
}

}  // namespace
}  // namespace evenkeel::curvature
