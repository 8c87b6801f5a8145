// The kernels without LibTorch, at sizes around their block and lane widths, so that sanitizers see every
// edge.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/adamw.h"
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

template <class T>
T updated_without_epsilon(T gradient) {
  T p = 3, m = 0, v = 0;
  adamw(&p, &gradient, &m, &v, 1, {1, 0, 0.9, 0.95, 0, 0.1, 0.05}, nullptr);
  return p;
}

TEST(AdamWKernel, NoGradientAndNoEpsilonIsNoUpdate) {
  EXPECT_EQ(updated_without_epsilon<double>(0), 3);
  EXPECT_EQ(updated_without_epsilon<float>(0), 3);
}

TEST(AdamWKernel, AGradientWhoseSquareIsLostStillMovesItsParameter) {
  // The first step of Adam is +-1 however small the gradient, until its square is none; then the step falls
  // with the gradient, and no parameter stands still.
  EXPECT_NEAR(updated_without_epsilon<float>(1e-18f), 2, 1e-3);
  EXPECT_NEAR(updated_without_epsilon<float>(-1e-18f), 4, 1e-3);
  const float lost = updated_without_epsilon<float>(3e-23f);
  EXPECT_LT(lost, 3);
  EXPECT_GT(lost, 2);
  EXPECT_LT(updated_without_epsilon<double>(1e-165), 3);
  EXPECT_GT(updated_without_epsilon<double>(1e-165), 2);
}

}  // namespace
}  // namespace evenkeel::kernels
