#include "evenkeel/ops/layer_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

at::Tensor vector(std::vector<double> values) {
  at::Tensor t = at::empty({1, static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), t.data_ptr<double>());
  return t;
}

at::Tensor input_gradient(const at::Tensor& x, const at::Tensor& upstream, double eps) {
  at::Tensor leaf = x.detach().clone().set_requires_grad(true);
  (layer_norm(leaf, {}, {}, eps) * upstream).sum().backward();
  return leaf.grad();
}

// A9.
TEST(LayerNorm, GradientExample) {
  const at::Tensor g = input_gradient(vector({1, 2, 4}), vector({1, 0, 0}), 0);
  EXPECT_NEAR(g[0][0].item<double>(), 0.229081, 5e-7);
  EXPECT_NEAR(g[0][1].item<double>(), -0.343622, 5e-7);
  EXPECT_NEAR(g[0][2].item<double>(), 0.114541, 5e-7);
}

TEST(LayerNorm, GradientMatchesDifferences) {
  at::Tensor x = test::random_normal({4, 6}, 1), gain = test::random_normal({6}, 2),
             bias = test::random_normal({6}, 3);
  const at::Tensor upstream = test::random_normal({4, 6}, 4);
  EXPECT_LT(test::gradient_error([&] { return (layer_norm(x, gain, {}, 1e-6) * upstream).sum(); }, {x, gain}),
            1e-7);
  EXPECT_LT(test::gradient_error([&] { return (layer_norm(x, gain, bias, 1e-6) * upstream).sum(); },
                                 {x, gain, bias}),
            1e-7);
}

TEST(LayerNorm, EqualsThePlainForm) {
  const at::Tensor x = test::random_normal({9, 16}, 5) * 3 + 2, gain = test::random_normal({16}, 6);
  EXPECT_LT((layer_norm(x, gain, {}, 1e-6) - layer_norm_plain(x, gain, {}, 1e-6)).abs().max().item<double>(),
            1e-13);
}

TEST(LayerNorm, GradientIsCentredAndOrthogonalAndScalesInversely) {
  const at::Tensor x = test::random_normal({1, 12}, 7), upstream = test::random_normal({1, 12}, 8);
  const at::Tensor g = input_gradient(x, upstream, 0), xhat = layer_norm(x, {}, {}, 0);
  EXPECT_NEAR(g.sum().item<double>(), 0, 1e-14);
  EXPECT_NEAR((g * xhat).sum().item<double>(), 0, 1e-13);
  EXPECT_LT((input_gradient(x * 7, upstream, 0) * 7 - g).abs().max().item<double>(), 1e-13);
}

}  // namespace
}  // namespace evenkeel::ops
