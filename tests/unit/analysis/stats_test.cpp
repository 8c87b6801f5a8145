#include "evenkeel/analysis/stats.h"

#include <gtest/gtest.h>

#include <cmath>

namespace evenkeel::analysis {
namespace {

TEST(Stats, StudentTBelowEightValues) {
  // t(0.975, 2) = 4.302653; sd of 1, 2, 3 is 1.
  const Estimate e = mean_with_interval({1, 2, 3}, 0.95, 8);
  EXPECT_EQ(*e.value, 2);
  EXPECT_NEAR(e.interval->high - 2, 4.302653 / std::sqrt(3.0), 1e-6);
  EXPECT_EQ(e.n, 3);
}

TEST(Stats, BootstrapFromEightOnIsRepeatable) {
  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7, 8};
  const Estimate a = mean_with_interval(values, 0.95, 8), b = mean_with_interval(values, 0.95, 8);
  EXPECT_EQ(a.interval->low, b.interval->low);
  // The normal approximation with the population sd, 2.29 / sqrt(8) * 1.96 = 1.59; 0.3 is its Monte Carlo
  // error many times.
  EXPECT_NEAR(a.interval->high - a.interval->low, 2 * 1.59, 0.3);
}

TEST(Stats, NothingNotFiniteSlipsThrough) {
  EXPECT_FALSE(mean_with_interval({1, NAN, 3}, 0.95, 8).value);
  EXPECT_FALSE(mean_with_interval({INFINITY}, 0.95, 8).value);
  EXPECT_FALSE(mean_with_interval({}, 0.95, 8).value);
  const Estimate one = mean_with_interval({2}, 0.95, 8);
  EXPECT_EQ(*one.value, 2);
  EXPECT_FALSE(one.interval);
  EXPECT_TRUE(std::isnan(median_of_finite({NAN})));
  EXPECT_EQ(median_of_finite({3, NAN, 1, 2}), 2);
}

}  // namespace
}  // namespace evenkeel::analysis
