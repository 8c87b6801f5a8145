#include "evenkeel/ops/matmul.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include "evenkeel/spec/experiment.h"
#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

TEST(Linear, GradientMatchesDifferences) {
  at::Tensor x = test::random_normal({3, 4}, 1), w = test::random_normal({5, 4}, 2),
             b = test::random_normal({5}, 3);
  const at::Tensor upstream = test::random_normal({3, 5}, 4);
  EXPECT_LT(
      test::gradient_error([&] { return (linear(x, w, b, Rounding::kNone) * upstream).sum(); }, {x, w, b}),
      1e-8);
  EXPECT_LT(
      test::gradient_error([&] { return (linear(x, w, {}, Rounding::kNone) * upstream).sum(); }, {x, w}),
      1e-8);
}

TEST(Linear, Bf16IsCloseAndReturnsFp32) {
  if (!machine_has_fast_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  at::Tensor x = test::random_normal({64, 32}, 1, at::kFloat).set_requires_grad(true);
  at::Tensor w = test::random_normal({16, 32}, 2, at::kFloat).set_requires_grad(true);
  const at::Tensor y = linear(x, w, {}, Rounding::kBf16), exact = linear(x, w, {}, Rounding::kNone);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  // Inputs rounded to 8 bits (2^-9 relative) and 32 terms of order 1: error about sqrt(32) 2^-8, and 2^-9 of
  // a result up to 25 on output.
  EXPECT_LT((y - exact).detach().abs().max().item<double>(), 0.15);
  EXPECT_GT((y - exact).detach().abs().max().item<double>(), 1e-4);
  y.sum().backward();
  EXPECT_EQ(w.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
}

TEST(BatchedProduct, RoundsWhatItIsGivenAndWhatItGives) {
  const at::Tensor a = test::random_normal({2, 3, 4}, 1), b = test::random_normal({2, 4, 5}, 2);
  const at::Tensor y = batched_product(a, b, Rounding::kNone);
  EXPECT_LT((y[1] - at::mm(a[1], b[1])).abs().max().item<double>(), 1e-14);
  const at::Tensor rough = batched_product(a.to(at::kFloat), b.to(at::kFloat), Rounding::kBf16);
  EXPECT_EQ(rough.scalar_type(), at::kFloat);
  EXPECT_LT((rough.to(at::kDouble) - y).abs().max().item<double>(), 0.1);
  EXPECT_TRUE(rough.equal(rough.to(at::kBFloat16).to(at::kFloat)));
}

}  // namespace
}  // namespace evenkeel::ops
