#include "evenkeel/ops/rotary.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

TEST(Rotary, KeepsNormsAndDependsOnDistanceOnly) {
  const auto [cos, sin] = rotary_table(40, 8, 10000);
  const at::Tensor q = test::random_normal({1, 1, 1, 8}, 1).expand({1, 40, 1, 8}).contiguous();
  const at::Tensor k = test::random_normal({1, 1, 1, 8}, 2).expand({1, 40, 1, 8}).contiguous();
  const at::Tensor rq = rotary(q, cos, sin)[0][0], rk = rotary(k, cos, sin)[0][0];
  const auto dot = [&](std::int64_t i, std::int64_t j) { return (rq[i] * rk[j]).sum().item<double>(); };
  EXPECT_NEAR((rq[31] * rq[31]).sum().item<double>(), (q[0][0] * q[0][0]).sum().item<double>(), 1e-12);
  EXPECT_NEAR(dot(7, 2), dot(37, 32), 1e-12);
  EXPECT_GT(std::abs(dot(7, 2) - dot(7, 3)), 1e-3);
}

TEST(Rotary, GradientMatchesDifferences) {
  const auto [cos, sin] = rotary_table(3, 4, 10000);
  const at::Tensor c = cos, s = sin;
  at::Tensor x = test::random_normal({2, 3, 2, 4}, 1);
  const at::Tensor upstream = test::random_normal({2, 2, 3, 4}, 2);
  EXPECT_LT(test::gradient_error([&] { return (rotary(x, c, s) * upstream).sum(); }, {x}), 1e-8);
}

}  // namespace
}  // namespace evenkeel::ops
