#include "evenkeel/analysis/sensitivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace evenkeel::analysis {
namespace {

const double kMissing = std::nan("");

std::vector<SeedLosses> one_seed(const std::vector<double>& losses) {
  const auto grid = paper_window({});
  std::vector<SeedLosses> curve;
  for (std::size_t i = 0; i < losses.size(); ++i) curve.push_back({grid[i], {1}, {losses[i]}});
  return curve;
}

double paper(const std::vector<double>& losses, double l0) {
  return lr_sensitivity(one_seed(losses), paper_window({}), l0, {}).value.value();
}

const std::vector<double> kA1{3.40, 3.20, 3.10, 3.00, 3.05, 7.0, kMissing};

TEST(Sensitivity, MatchesTheWorkedExample) {
  // A1: terms 0.4 0.2 0.1 0 0.05 2 2, mean 4.75 / 7. The trapezoid in ln LR would give 0.5855657 (A2).
  EXPECT_NEAR(paper(kA1, 5), 4.75 / 7, 1e-12);
  EXPECT_GT(std::abs(paper(kA1, 5) - 0.5855657), 0.05);
}

TEST(Sensitivity, ParabolaByTheMean) {
  std::vector<double> losses;
  for (const double lr : paper_window({})) losses.push_back(2.5 + 0.3 * std::pow(std::log10(lr / 3e-3), 2));
  EXPECT_NEAR(paper(losses, 10), 0.3780089, 5e-8);  // printed to seven digits in the reference
}

TEST(Sensitivity, IgnoresTheLevelAndNeverGoesNegative) {
  std::vector<double> shifted = kA1;
  for (double& l : shifted) l += 1.5;
  EXPECT_NEAR(paper(shifted, 6.5), 4.75 / 7, 1e-12);
  EXPECT_EQ(paper(std::vector<double>(7, 3.0), 5), 0);
  EXPECT_EQ(paper(std::vector<double>(7, 9.0), 5), 0);
  EXPECT_EQ(paper(std::vector<double>(7, kMissing), 5), 0);
}

TEST(Sensitivity, NanAndInfinityCountAsL0WhereverTheyStand) {
  // One good point among six lost ones: the largest possible value, 6/7 (l0 - l*).
  for (std::size_t good = 0; good < 7; ++good) {
    std::vector<double> losses(7, kMissing);
    for (std::size_t i = 0; i < 7; i += 2) losses[i] = i % 4 == 0 ? INFINITY : kMissing;
    losses[good] = 3;
    EXPECT_NEAR(paper(losses, 5), 6.0 / 7 * 2, 1e-12) << good;
  }
}

TEST(Sensitivity, SplitsAtTheBestLr) {
  const auto s = lr_sensitivity(one_seed(kA1), paper_window({}), 5, {});
  EXPECT_NEAR(s.below, 0.7 / 7, 1e-12);
  EXPECT_NEAR(s.above, 4.05 / 7, 1e-12);
  EXPECT_FALSE(s.undertrained);
  const auto left = lr_sensitivity(one_seed({4.9, 4.8, 4.5, 4.2, 3.9, 3.2, 3.0}), paper_window({}), 5, {});
  EXPECT_TRUE(left.undertrained);
  EXPECT_EQ(left.above, 0);
}

TEST(Sensitivity, ImputesNothing) {
  auto curve = one_seed(kA1);
  curve.erase(curve.begin() + 2);
  const auto s = lr_sensitivity(curve, paper_window({}), 5, {});
  EXPECT_FALSE(s.value);
  EXPECT_NE(s.why.find("0.003"), std::string::npos);
  EXPECT_FALSE(lr_sensitivity(one_seed(kA1), paper_window({}), kMissing, {}).value);
}

TEST(Sensitivity, WindowScalesWithTheRunLength) {
  const auto close = [](const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same_lr);
  };
  EXPECT_TRUE(close(paper_window({}), {3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1}));
  EXPECT_TRUE(close(run_length_window({}, 100000), paper_window({})));
  // sqrt(1e5 / 300) = 18.26: [5.48e-3, 5.48].
  EXPECT_TRUE(close(run_length_window({}, 300), {1e-2, 3e-2, 1e-1, 3e-1, 1, 3}));
  EXPECT_TRUE(run_length_window({}, 0).empty());
}

TEST(Sensitivity, AveragesSeedsFirstAndJackknivesOverThem) {
  std::vector<SeedLosses> curve{{0.1, {1, 2}, {2.0, 2.2}}, {0.3, {1, 2}, {kMissing, 3.0}}};
  const auto s = lr_sensitivity(curve, {0.1, 0.3}, 5, {});
  // Means 2.1 and (5 + 3) / 2 = 4: S = 0.95. Without either seed 1.5 and 0.4: half-width t(0.975, 1) * 1.1
  // / 2.
  EXPECT_NEAR(*s.value, 0.95, 1e-12);
  ASSERT_TRUE(s.interval);
  EXPECT_EQ(s.interval->low, 0);   // 0.95 - 6.99: S cannot be negative
  EXPECT_EQ(s.interval->high, 5);  // nor above l0
  std::vector<SeedLosses> calm{{0.1, {1, 2, 3}, {2.0, 2.1, 2.2}}, {0.3, {1, 2, 3}, {3.0, 3.3, 3.3}}};
  // S without seed 1, 2, 3: 0.575, 0.525, 0.55; its jackknife error is 2 t(0.975, 2) sd / sqrt(3), sd =
  // 0.025.
  EXPECT_NEAR(lr_sensitivity(calm, {0.1, 0.3}, 5, {}).interval->high,
              0.55 + 2 * 4.302653 * 0.025 / std::sqrt(3.0), 1e-6);
}

TEST(Sensitivity, CapsTheMeanOverSeedsNotTheSeeds) {
  const std::vector<SeedLosses> curve{
      {0.1, {1, 2}, {1.8, 1.8}}, {0.3, {1, 2}, {2, 40}}, {1, {1, 2}, {1.8, 1.8}}};
  // The mean 21 is capped at 5.5: S = (5.5 - 1.8) / 3. Seeds capped one by one would give 0.65.
  EXPECT_NEAR(*lr_sensitivity(curve, {0.1, 0.3, 1}, 5.5, {}).value, 3.7 / 3, 1e-12);
  EXPECT_EQ(capped_mean({2, 40}, 5.5), 5.5);
  EXPECT_EQ(capped_mean({2, kMissing}, 6), 4);
}

}  // namespace
}  // namespace evenkeel::analysis
