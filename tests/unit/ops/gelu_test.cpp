#include "evenkeel/ops/gelu.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linspace.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

TEST(Gelu, KnownValues) {
  at::Tensor x = at::empty({3}, at::kDouble);
  x[0] = 0;
  x[1] = 1;
  x[2] = -1;
  const at::Tensor y = gelu_plain(x);
  EXPECT_EQ(y[0].item<double>(), 0);
  EXPECT_NEAR(y[1].item<double>(), 0.841191990608, 1e-11);  // 0.5 (1 + tanh(0.8357291765))
  EXPECT_NEAR(y[2].item<double>(), -0.158808009392, 1e-11);
}

// The kernel is fp32 with an exp good to 3e-7; values and slopes are below 20 and about 1.
TEST(Gelu, FusedEqualsPlainInDouble) {
  const at::Tensor wide = at::linspace(-20, 20, 100003, at::kDouble);
  at::Tensor narrow = wide.to(at::kFloat).set_requires_grad(true);
  at::Tensor exact = narrow.detach().to(at::kDouble).set_requires_grad(true);
  const at::Tensor y = gelu(narrow), reference = gelu(exact);
  EXPECT_LT((y.detach().to(at::kDouble) - reference.detach()).abs().max().item<double>(), 2e-6);
  y.sum().backward();
  reference.sum().backward();
  EXPECT_LT((narrow.grad().to(at::kDouble) - exact.grad()).abs().max().item<double>(), 2e-6);
}

TEST(Gelu, GradientMatchesDifferences) {
  at::Tensor x = test::random_normal({11}, 1);
  EXPECT_LT(test::gradient_error([&] { return gelu(x).sum(); }, {x}), 1e-8);
}

TEST(Gelu, FarTailsAndNaN) {
  at::Tensor x = at::empty({3}, at::kFloat);
  x[0] = 1e4;
  x[1] = -1e4;
  x[2] = std::numeric_limits<float>::quiet_NaN();
  x.set_requires_grad(true);
  const at::Tensor y = gelu(x);
  EXPECT_FLOAT_EQ(y[0].item<float>(), 1e4f);
  EXPECT_NEAR(y[1].item<float>(), 0, 1e-30);
  EXPECT_TRUE(std::isnan(y[2].item<float>()));
  y.sum().backward();
  EXPECT_FLOAT_EQ(x.grad()[0].item<float>(), 1);
  EXPECT_NEAR(x.grad()[1].item<float>(), 0, 1e-20);
  EXPECT_TRUE(std::isnan(x.grad()[2].item<float>()));
}

// Where v^2 and v^3 overflow fp32 the derivative is still 0 or 1.
TEST(Gelu, DerivativeOfHugeArguments) {
  for (const float size : {1e13f, 1e20f, 1e38f}) {
    at::Tensor x = at::empty({2}, at::kFloat);
    x[0] = size;
    x[1] = -size;
    x.set_requires_grad(true);
    gelu(x).sum().backward();
    EXPECT_FLOAT_EQ(x.grad()[0].item<float>(), 1) << size;
    EXPECT_NEAR(x.grad()[1].item<float>(), 0, 1e-20) << size;
  }
}

}  // namespace
}  // namespace evenkeel::ops
