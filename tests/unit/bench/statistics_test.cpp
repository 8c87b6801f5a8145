#include "evenkeel/bench/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "evenkeel/base/rng.h"

namespace evenkeel::bench {
namespace {

std::vector<double> one_to(int n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

TEST(Median, OddAndEven) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(MedianUpper95, KnownRanks) {
  // P(Binomial(5, 1/2) <= 4) = 31/32; P(Binomial(10, 1/2) <= 7) = 0.9453, <= 8: 0.9893.
  EXPECT_FALSE(median_upper95(one_to(4)).has_value());
  EXPECT_EQ(median_upper95(one_to(5)), 5);
  EXPECT_EQ(median_upper95(one_to(10)), 9);
  // 100 + 1.645 sqrt(200) / 2 = 111.6 by the normal approximation.
  EXPECT_EQ(median_upper95(one_to(200)), 113);
}

TEST(MedianUpper95, CoversTheMedianAsOftenAsItSays) {
  Rng rng(7, "test/median");
  constexpr int kTrials = 2000;
  int covered = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(31);
    for (double& x : values) x = -std::log(rng.uniform());  // skewed: median ln 2
    covered += *median_upper95(values) >= std::log(2.0) ? 1 : 0;
  }
  // 0.9647 exactly for 31 values; the standard deviation of 2000 trials is 0.004.
  EXPECT_GE(covered, static_cast<int>(0.945 * kTrials));
  EXPECT_LE(covered, static_cast<int>(0.985 * kTrials));
}

}  // namespace
}  // namespace evenkeel::bench
