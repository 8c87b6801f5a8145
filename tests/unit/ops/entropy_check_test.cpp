#include "evenkeel/ops/entropy_check.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "evenkeel/ops/top_singular.h"
#include "evenkeel/telemetry/entropy_bound.h"
#include "tests/support/small_model.h"
#include "tests/support/top_singular.h"

namespace evenkeel::ops {
namespace {

TEST(EntropyCheck, EqualsTheRowsOfTheSoftmax) {
  for (const double spread : {0.1, 1.0, 5.0, 60.0}) {
    const std::int64_t heads = 3, time = 24, width = 8;
    const at::Tensor q = test::random_normal({heads, time, width}, 1) * spread,
                     k = test::random_normal({heads, time, width}, 2);
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    const at::Tensor all = q.matmul(k.transpose(1, 2)) * scale;
    const auto checks = entropy_check(q, k, {scale});
    for (std::int64_t h = 0; h < heads; ++h) {
      double slack = 1e9, bound = 0;
      for (std::int64_t i = 1; i < time; ++i) {
        const at::Tensor z = all[h][i].narrow(0, 0, i + 1), a = z.softmax(0);
        const double entropy = -(a * (a + 1e-300).log()).sum().item<double>();
        const double at_least =
            telemetry::entropy_bound(i + 1, (z - z.mean()).square().sum().sqrt().item<double>());
        if (i > 1) slack = std::min(slack, entropy - at_least);
        bound += at_least / static_cast<double>(time - 1);
      }
      const EntropyCheck& check = checks[static_cast<std::size_t>(h)];
      EXPECT_NEAR(check.slack, slack, 1e-12);
      EXPECT_NEAR(check.bound, bound, 1e-12);
      EXPECT_FALSE(check.violated);
    }
  }
}

TEST(EntropyCheck, QuantileIsTheNearestRank) {
  // 39 rows of 2 to 40 keys hold 819 logits: rank ceil(0.999 * 819) = 819, the largest; 60 rows more, 4 below
  // it.
  for (const std::int64_t time : {40, 100}) {
    const at::Tensor q = test::random_normal({2, time, 4}, 1), k = test::random_normal({2, time, 4}, 2);
    const at::Tensor z = q.matmul(k.transpose(1, 2)) * 0.5;
    const auto checks = entropy_check(q, k, {0.5});
    for (std::int64_t h = 0; h < 2; ++h) {
      std::vector<double> seen;
      for (std::int64_t i = 1; i < time; ++i)
        for (std::int64_t j = 0; j <= i; ++j) seen.push_back(z[h][i][j].item<double>());
      std::sort(seen.begin(), seen.end());
      const auto rank = static_cast<std::size_t>(std::ceil(0.999 * static_cast<double>(seen.size())));
      EXPECT_NEAR(checks[static_cast<std::size_t>(h)].logit_q999, seen[rank - 1], 1e-12);
    }
  }
}

TEST(EntropyCheck, WithoutCausalityEveryRowSeesAllKeys) {
  const std::int64_t heads = 2, queries = 7, keys = 11, width = 4;
  const at::Tensor q = test::random_normal({heads, queries, width}, 1) * 3,
                   k = test::random_normal({heads, keys, width}, 2);
  const auto checks = entropy_check(q, k, {0.5}, false);
  const at::Tensor z = q.matmul(k.transpose(1, 2)) * 0.5, a = z.softmax(2);
  for (std::int64_t h = 0; h < heads; ++h) {
    double slack = 1e9, bound = 0;
    for (std::int64_t i = 0; i < queries; ++i) {
      const double entropy = -(a[h][i] * a[h][i].log()).sum().item<double>();
      const double at_least =
          telemetry::entropy_bound(keys, (z[h][i] - z[h][i].mean()).norm().item<double>());
      slack = std::min(slack, entropy - at_least);
      bound += at_least / static_cast<double>(queries);
    }
    const EntropyCheck& check = checks[static_cast<std::size_t>(h)];
    EXPECT_NEAR(check.slack, slack, 1e-12);
    EXPECT_NEAR(check.bound, bound, 1e-12);
    EXPECT_FALSE(check.violated);
  }
}

// A sink is one more logit of every row, and the theorem is about logits, whoever they belong to.
TEST(EntropyCheck, CountsASinkAsALogit) {
  const std::int64_t heads = 2, time = 9, width = 4;
  const at::Tensor q = test::random_normal({heads, time, width}, 1) * 3,
                   k = test::random_normal({heads, time, width}, 2);
  for (const double size : {0.0, 2.0, -30.0, 30.0}) {
    const at::Tensor sink = at::tensor({size, size / 2}, at::kDouble);
    const auto checks = entropy_check(q, k, {0.5}, true, sink);
    const at::Tensor all = q.matmul(k.transpose(1, 2)) * 0.5;
    for (std::int64_t h = 0; h < heads; ++h) {
      double slack = 1e9, bound = 0;
      for (std::int64_t i = 1; i < time; ++i) {
        const at::Tensor z = at::cat({all[h][i].narrow(0, 0, i + 1), sink.narrow(0, h, 1)}), a = z.softmax(0);
        const double entropy = -(a * (a + 1e-300).log()).sum().item<double>();
        const double at_least =
            telemetry::entropy_bound(i + 2, (z - z.mean()).square().sum().sqrt().item<double>());
        slack = std::min(slack, entropy - at_least);
        bound += at_least / static_cast<double>(time - 1);
      }
      const EntropyCheck& check = checks[static_cast<std::size_t>(h)];
      EXPECT_NEAR(check.slack, slack, 1e-12);
      EXPECT_NEAR(check.bound, bound, 1e-12);
      EXPECT_FALSE(check.violated);
    }
  }
  EXPECT_THROW(entropy_check(q, k, {0.5}, true, at::tensor({1.0}, at::kDouble)), std::invalid_argument);
  EXPECT_THROW(entropy_check(q, k, {.kind = kernels::WeightRule::kSquaredRelu}), std::invalid_argument);
}

TEST(EntropyCheck, NaNIsAViolation) {
  at::Tensor q = test::random_normal({2, 9, 4}, 1);
  const at::Tensor k = test::random_normal({2, 9, 4}, 2);
  q[1][5][0] = std::nan("");
  const auto checks = entropy_check(q, k, {0.5});
  EXPECT_FALSE(checks[0].violated);
  EXPECT_TRUE(checks[1].violated);
  EXPECT_TRUE(std::isnan(checks[1].slack));
}

// S 6.8: with sigma(W_q) = sigma(W_k) = 1 and unit inputs the logits have a standard deviation of 0.25 and
// the entropy is ln T - 0.031, for any head width.
TEST(EntropyCheck, StepZeroEntropyOfSpectrallyNormalisedProjections) {
  for (const auto& [width, time, expected] :
       {std::tuple{128, 64, 4.128}, {256, 64, 4.128}, {128, 197, 5.252}, {256, 197, 5.252}}) {
    const at::Tensor x = test::random_normal({time, width}, 3);
    const auto project = [&](std::uint64_t seed) {
      const at::Tensor w = test::random_normal({width, width}, seed);
      return x.matmul(w.t()) / test::top_singular_value(w).sigma;
    };
    const at::Tensor z = project(4).matmul(project(5).t()) / std::sqrt(static_cast<double>(width));
    double entropy = 0;
    for (std::int64_t i = 0; i < time; ++i)
      entropy += telemetry::row_entropy({z[i].data_ptr<double>(), static_cast<std::size_t>(time)}).entropy /
                 static_cast<double>(time);
    EXPECT_NEAR(z.std().item<double>(), 0.25, 0.01) << width;
    EXPECT_NEAR(entropy, expected, 0.003) << width << " " << time;
  }
}

}  // namespace
}  // namespace evenkeel::ops
