#include "evenkeel/nn/patch_embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_svd.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/sigma_reparam.h"
#include "tests/support/small_model.h"

namespace evenkeel::nn {
namespace {

double top(const at::Tensor& w) {
  return std::get<1>(at::linalg_svd(w.to(at::kDouble)))[0].item<double>();
}

TEST(PatchEmbedding, IsTheConvolutionWithItsKernelAsStride) {
  const c10::AutoGradMode no_grad(false);
  PatchEmbedding embed(3, 4, 10, true);
  initialise(embed, 1);
  embed.projection.bias->value.copy_(test::random_normal({10}, 2, at::kFloat));
  const at::Tensor images = test::random_normal({2, 3, 8, 12}, 3, at::kFloat);
  const at::Tensor expected = at::conv2d(images, embed.projection.weight.value.view({10, 3, 4, 4}),
                                         embed.projection.bias->value, {4, 4})
                                  .permute({0, 2, 3, 1})
                                  .reshape({-1, 10});
  // fp32 sums of 48 products of order 1 in another order.
  EXPECT_LT((embed.forward(images, {}) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_THROW(embed.forward(test::random_normal({1, 3, 8, 10}, 3, at::kFloat), {}), InputError);
}

// C13 of sigma-reparam's checks.
TEST(PatchEmbedding, SigmaOfTheMatrixIsTheNormOfTheConvolution) {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor kernel = test::random_normal({6, 2, 3, 3}, 4, at::kDouble), matrix = kernel.view({6, 18});
  const double sigma =
      ops::power_iterate({matrix}, ops::top_singular_vectors({matrix}, 1), 1e-8, 20).sigma.item<double>();
  // The whole linear map, one input pixel after the other: [pixels, outputs].
  const at::Tensor pixels = at::eye(2 * 9 * 9, at::kDouble).view({-1, 2, 9, 9});
  const auto norm_of = [&](std::int64_t stride, std::int64_t padding) {
    return top(at::conv2d(pixels, kernel, {}, {stride, stride}, {padding, padding}).flatten(1));
  };
  EXPECT_NEAR(norm_of(3, 0) / sigma, 1, 1e-6);
  EXPECT_LE(norm_of(1, 1), std::sqrt(9.0) * sigma);
  EXPECT_GT(norm_of(1, 1), sigma);
}

}  // namespace
}  // namespace evenkeel::nn
