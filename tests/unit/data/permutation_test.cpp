#include "evenkeel/data/permutation.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace evenkeel::data {
namespace {

std::vector<std::uint64_t> all(std::uint64_t n, std::uint64_t seed, std::uint64_t stream) {
  const Permutation permutation(n, seed, stream);
  std::vector<std::uint64_t> images;
  for (std::uint64_t i = 0; i < n; ++i) images.push_back(permutation(i));
  return images;
}

TEST(Permutation, IsABijectionForEverySmallSize) {
  for (std::uint64_t n = 1; n <= 300; ++n) {
    std::vector<int> hits(n);
    for (const std::uint64_t image : all(n, 7, n)) {
      ASSERT_LT(image, n);
      ++hits[image];
    }
    EXPECT_EQ(hits, std::vector<int>(n, 1)) << "n = " << n;
  }
}

TEST(Permutation, DependsOnSeedAndStreamAlone) {
  EXPECT_EQ(all(1000, 1, 2), all(1000, 1, 2));
  EXPECT_NE(all(1000, 1, 2), all(1000, 2, 2));
  EXPECT_NE(all(1000, 1, 2), all(1000, 1, 3));
}

// A shuffle leaves one point fixed on average (variance 1), and image and index are uncorrelated: the
// correlation of n pairs has standard deviation 1/sqrt(n - 1). Both bounds are over four standard deviations
// of the mean of 200 draws.
TEST(Permutation, ShufflesWell) {
  constexpr std::uint64_t kSize = 1000;
  double fixed = 0, correlation = 0;
  const double mean = (kSize - 1) / 2.0, variance = (kSize * kSize - 1) / 12.0;
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    const std::vector<std::uint64_t> images = all(kSize, 3, stream);
    double covariance = 0;
    for (std::uint64_t i = 0; i < kSize; ++i) {
      fixed += images[i] == i ? 1 : 0;
      covariance += (static_cast<double>(i) - mean) * (static_cast<double>(images[i]) - mean);
    }
    correlation += covariance / kSize / variance;
  }
  EXPECT_NEAR(fixed / 200, 1.0, 0.3);
  EXPECT_NEAR(correlation / 200, 0.0, 0.01);
}

TEST(Permutation, HandlesHugeSizes) {
  const std::uint64_t n = (std::uint64_t{1} << 40) + 12345;
  const Permutation permutation(n, 1, 1);
  std::uint64_t seen_large = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_LT(permutation(i), n);
    seen_large += permutation(i) > n / 2 ? 1 : 0;
  }
  EXPECT_GT(seen_large, 25u);
  EXPECT_LT(seen_large, 75u);
}

}  // namespace
}  // namespace evenkeel::data
