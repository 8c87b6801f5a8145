// Proposition 3.2 of Zhai et al. 2023 (arXiv 2303.06296) on the optimiser itself.
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/nn/linear.h"
#include "evenkeel/ops/top_singular.h"
#include "evenkeel/optim/adamw.h"
#include "evenkeel/telemetry/entropy_bound.h"
#include "tests/support/small_model.h"
#include "tests/support/top_singular.h"

namespace evenkeel::optim {
namespace {

at::Tensor first_update(std::int64_t m, std::int64_t n, const at::Tensor& gradient, double lr) {
  nn::Linear layer(n, m, false);
  nn::initialise(layer, 1);
  const at::Tensor before = layer.weight.value.detach().clone();
  OptimSpec spec;
  spec.lr = lr;
  spec.weight_decay = 0;
  AdamW optimiser({&layer.weight}, spec);
  layer.weight.value.mutable_grad() = gradient.to(at::kFloat);
  optimiser.step(lr);
  return (layer.weight.value.detach() - before).to(at::kDouble);
}

// S 6.10.
TEST(AdamInflation, ARankOneGradientMovesTheSpectralNormByTheRootOfTheSize) {
  constexpr double kLr = 0.01;
  for (const auto& [m, n] : {std::pair{256, 256}, {64, 200}}) {
    // Away from zero, where epsilon counts.
    const at::Tensor sign = test::random_normal({m, 1}, 1).sign() * test::random_normal({1, n}, 2).sign();
    const at::Tensor gradient =
        sign * (1 + test::random_normal({m, 1}, 3).abs() * test::random_normal({1, n}, 4).abs());
    const at::Tensor update = first_update(m, n, sign * 0.37, kLr);
    // Weights of 0.06 are rounded by 4e-9 each, updates of 0.01 by 4e-7 of themselves.
    EXPECT_NEAR(test::top_singular_value(update).sigma / (kLr * std::sqrt(static_cast<double>(m * n))), 1,
                1e-5);
    EXPECT_NEAR(test::top_singular_value(first_update(m, n, gradient, kLr)).sigma /
                    (kLr * std::sqrt(static_cast<double>(m * n))),
                1, 1e-5)
        << "sizes do not matter, signs do";
  }
}

TEST(AdamInflation, AFullRankGradientReachesTheBound) {
  constexpr double kLr = 0.01;
  constexpr std::int64_t kWidth = 128;
  const at::Tensor update = first_update(kWidth, kWidth, test::random_normal({kWidth, kWidth}, 5), kLr);
  const double frobenius = update.square().sum().sqrt().item<double>();
  const double bound = telemetry::inflation_bound(frobenius, kWidth, kWidth);
  EXPECT_NEAR(bound, kLr * std::sqrt(static_cast<double>(kWidth)), 1e-5);
  EXPECT_GE(test::top_singular_value(update).sigma, bound);
}

}  // namespace
}  // namespace evenkeel::optim
