// The kernels without LibTorch, at sizes around their block and lane widths, so that sanitizers see every
// edge.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/adamw.h"
#include "evenkeel/kernels/attention_stats.h"
#include "evenkeel/kernels/reduce.h"

namespace evenkeel::kernels {
namespace {

std::vector<float> normals(std::size_t n, std::uint64_t seed) {
  Rng rng(seed, "test/kernels");
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}

TEST(SumSquares, EveryLengthAndNonFinite) {
  for (const std::size_t n : {0u, 1u, 7u, 8u, 9u, 1003u}) {
    std::vector<float> x = normals(n, 3);
    double expected = 0;
    for (const float v : x) expected += static_cast<double>(v) * static_cast<double>(v);
    EXPECT_NEAR(sum_squares(x.data(), static_cast<std::int64_t>(n)), expected, 1e-12 * (1 + expected));
    if (n == 0) continue;
    x[n / 2] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(sum_squares(x.data(), static_cast<std::int64_t>(n))));
  }
}

TEST(AdamWKernel, MeasuringChangesNoBit) {
  for (const std::size_t n : {1u, 1023u, 1024u, 1025u, 3000u}) {
    const std::vector<float> g = normals(n, 4);
    std::vector<float> p1 = normals(n, 5), m1(n), v1(n), p2 = p1, m2(n), v2(n);
    const AdamWStep step{0.1, 0.01, 0.9, 0.95, 1e-8, 0.1, 0.05};
    AdamWSquares squares;
    const std::vector<float> before = p1;
    adamw(p1.data(), g.data(), m1.data(), v1.data(), static_cast<std::int64_t>(n), step, nullptr);
    adamw(p2.data(), g.data(), m2.data(), v2.data(), static_cast<std::int64_t>(n), step, &squares);
    EXPECT_EQ(p1, p2);
    EXPECT_EQ(m1, m2);
    EXPECT_EQ(v1, v2);
    double expected = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double u = static_cast<double>(before[i]) - static_cast<double>(p1[i]);
      expected += u * u;
    }
    // Differences of rounded weights: 1e-7 of an update of 0.1.
    EXPECT_NEAR(squares.update, expected, 1e-5 * expected);
  }
}

TEST(AdamWKernel, NoGradientAndNoEpsilonIsNoUpdate) {
  double p = 3, g = 0, m = 0, v = 0;
  adamw(&p, &g, &m, &v, 1, {1, 0, 0.9, 0.95, 0, 0.1, 0.05}, nullptr);
  EXPECT_EQ(p, 3);
}

TEST(AttentionStatsKernel, NeverReadsHiddenEntries) {
  const AttentionShape shape{1, 1, 19, 4};
  std::vector<float> q = normals(19 * 4, 6), k = normals(19 * 4, 7), z(19 * 19), p(19 * 19);
  for (std::size_t i = 0; i < 19; ++i)
    for (std::size_t j = 0; j < 19; ++j) {
      z[i * 19 + j] = j <= i ? 0.25f : std::numeric_limits<float>::quiet_NaN();
      p[i * 19 + j] = j <= i ? 1 / static_cast<float>(i + 1) : std::numeric_limits<float>::quiet_NaN();
    }
  AttentionStats stats;
  attention_stats(z.data(), p.data(), q.data(), k.data(), shape, &stats);
  EXPECT_DOUBLE_EQ(stats.logit_max, 0.25);
  EXPECT_DOUBLE_EQ(stats.logit_rms, 0.25);
  EXPECT_NEAR(stats.entropy_norm, 1, 1e-6);
}

TEST(AttentionStatsKernel, OneHotRowsHaveNoEntropy) {
  const AttentionShape shape{2, 1, 5, 2};
  const std::vector<double> q(20, 1), k(20, 1);
  std::vector<double> z(50, -1e6), p(50, 0);
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t i = 0; i < 5; ++i) {
      z[b * 25 + i * 5] = 1e6;
      p[b * 25 + i * 5] = 1;
    }
  AttentionStats stats;
  attention_stats(z.data(), p.data(), q.data(), k.data(), shape, &stats);
  EXPECT_EQ(stats.entropy, 0);
  EXPECT_EQ(stats.logit_max, 1e6);
  EXPECT_EQ(stats.logit_absmax, 1e6);
}

TEST(AttentionStatsKernel, AnInfiniteLogitIsSeen) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double q[] = {1, 1, 1, 1}, k[] = {1, 1, 1, 1}, z[] = {0.5, -inf, inf, 1}, p[] = {1, 0, nan, nan};
  AttentionStats stats;
  attention_stats(z, p, q, k, {1, 1, 2, 2}, &stats);
  EXPECT_EQ(stats.logit_max, inf);
  EXPECT_EQ(stats.logit_absmax, inf);
  EXPECT_TRUE(std::isnan(stats.entropy));
  EXPECT_TRUE(std::isnan(stats.entropy_norm));
}

TEST(AttentionStatsKernel, ASingleTokenHasNoEntropyRows) {
  const double q[] = {1, 2}, k[] = {3, 4}, z[] = {11 / std::sqrt(2)}, p[] = {1};
  AttentionStats stats;
  attention_stats(z, p, q, k, {1, 1, 1, 2}, &stats);
  EXPECT_EQ(stats.entropy, 0);
  EXPECT_EQ(stats.entropy_norm, 0);
  EXPECT_NEAR(stats.qk_cosine, 11 / (std::sqrt(5) * 5), 1e-12);
  EXPECT_NEAR(stats.k_norm, 5, 1e-12);
}

}  // namespace
}  // namespace evenkeel::kernels
