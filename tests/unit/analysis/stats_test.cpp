#include "evenkeel/analysis/stats.h"

#include <gtest/gtest.h>

#include <cmath>

namespace evenkeel::analysis {
namespace {

TEST(Stats, StudentTAtEveryN) {
  // t(0.975, 2) = 4.302653; sd of 1, 2, 3 is 1.
  const Estimate e = mean_with_interval({1, 2, 3}, 0.95);
  EXPECT_EQ(*e.value, 2);
  EXPECT_NEAR(e.interval->high - 2, 4.302653 / std::sqrt(3.0), 1e-6);
  EXPECT_EQ(e.n, 3);
  // t(0.975, 9) = 2.262157; sd of 1 ... 10 is 3.02765.
  const Estimate ten = mean_with_interval({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.95);
  EXPECT_NEAR(ten.interval->high - 5.5, 2.262157 * 3.02765 / std::sqrt(10.0), 1e-5);
}

TEST(Stats, TheJackknifeOfAMeanIsStudentsInterval) {
  // Without 1, 2 or 3 the mean of the rest is 2.5, 2 or 1.5.
  EXPECT_NEAR(jackknife_half_width({2.5, 2, 1.5}, 0.95), t_half_width({1, 2, 3}, 0.95), 1e-12);
}

TEST(Stats, NothingNotFiniteSlipsThrough) {
  EXPECT_FALSE(mean_with_interval({1, NAN, 3}, 0.95).value);
  EXPECT_FALSE(mean_with_interval({INFINITY}, 0.95).value);
  EXPECT_FALSE(mean_with_interval({}, 0.95).value);
  const Estimate one = mean_with_interval({2}, 0.95);
  EXPECT_EQ(*one.value, 2);
  EXPECT_FALSE(one.interval);
  EXPECT_TRUE(std::isnan(median_of_finite({NAN})));
  EXPECT_EQ(median_of_finite({3, NAN, 1, 2}), 2);
}

TEST(Stats, LineThroughPoints) {
  const Line exact = line_through({0, 1, 2}, {1, 3, 5});
  EXPECT_DOUBLE_EQ(exact.slope, 2);
  EXPECT_DOUBLE_EQ(exact.r2, 1);
  // By hand: sums of squares 2 of x, 14 / 3 of y, products 3.
  const Line rough = line_through({0, 1, 2}, {0, 1, 3});
  EXPECT_DOUBLE_EQ(rough.slope, 1.5);
  EXPECT_NEAR(rough.r2, 27.0 / 28, 1e-15);
  EXPECT_EQ(line_through({0, 1}, {4, 4}).r2, 1);
}

}  // namespace
}  // namespace evenkeel::analysis
