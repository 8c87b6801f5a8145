#include "evenkeel/analysis/boundary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/rng.h"

namespace evenkeel::analysis {
namespace {

using Kind = Boundary::Kind;

std::vector<Outcome> outcomes(const std::vector<std::pair<double, std::vector<int>>>& rows) {
  std::vector<Outcome> all;
  for (const auto& [lr, seeds] : rows)
    for (const int unstable : seeds) all.push_back({lr, unstable != 0});
  return all;
}

TEST(Boundary, SeparatedCellsMeetInTheMiddle) {
  // Symmetric about log10 LR between 0.1 and 0.3, so Firth's estimate is the geometric mean.
  const auto b = fit_boundary(outcomes({{0.01, {0, 0}}, {0.1, {0, 0}}, {0.3, {1, 1}}, {3, {1, 1}}}), 0.95);
  ASSERT_EQ(b.kind, Kind::kFitted);
  EXPECT_TRUE(b.penalised);
  EXPECT_NEAR(std::log10(b.value), 0.5 * (std::log10(0.1) + std::log10(0.3)), 1e-3);
  EXPECT_LT(b.interval.low, b.value);
  EXPECT_GT(b.interval.high, b.value);
  EXPECT_GT(b.interval.low, 0.005);
  EXPECT_LT(b.interval.high, 10);
}

TEST(Boundary, OverlappingCellsGiveTheMaximumLikelihood) {
  // By hand: four LRs at x = 0, 1, 2, 3 with 0, 1, 2, 3 of 3 unstable is symmetric about 1.5.
  const auto b =
      fit_boundary(outcomes({{1, {0, 0, 0}}, {10, {0, 0, 1}}, {100, {0, 1, 1}}, {1000, {1, 1, 1}}}), 0.95);
  ASSERT_EQ(b.kind, Kind::kFitted);
  EXPECT_FALSE(b.penalised);
  EXPECT_NEAR(std::log10(b.value), 1.5, 1e-3);
  EXPECT_NEAR(std::log10(b.interval.high) - 1.5, 1.5 - std::log10(b.interval.low), 1e-2);
}

TEST(Boundary, RecoversAKnownCurve) {
  Rng rng(7, "test/boundary");
  std::vector<Outcome> all;
  for (const double x : {-2.0, -1.5, -1.0, -0.5, 0.0, 0.5})
    for (int i = 0; i < 60; ++i)
      all.push_back({std::pow(10.0, x), rng.uniform() < 1 / (1 + std::exp(-3 * (x + 0.8)))});
  const auto b = fit_boundary(all, 0.95);
  ASSERT_EQ(b.kind, Kind::kFitted);
  // Standard error of the midpoint here is about 0.05 decades; 0.2 is four of them.
  EXPECT_NEAR(std::log10(b.value), -0.8, 0.2);
  EXPECT_LT(std::log10(b.interval.high / b.interval.low), 0.4);
}

TEST(Boundary, CensoredOutcomesAreSaidToBe) {
  const auto above = fit_boundary(outcomes({{0.1, {0, 0}}, {1, {0, 0}}}), 0.95);
  EXPECT_EQ(above.kind, Kind::kAboveRange);
  EXPECT_EQ(above.bound, 1);
  const auto below = fit_boundary(outcomes({{0.1, {1}}, {1, {1}}}), 0.95);
  EXPECT_EQ(below.kind, Kind::kBelowRange);
  EXPECT_EQ(below.bound, 0.1);
  EXPECT_EQ(fit_boundary({}, 0.95).kind, Kind::kNone);
}

TEST(Boundary, AWrongWayRoundIsNotFitted) {
  const auto b = fit_boundary(outcomes({{0.1, {1, 1}}, {1, {0, 0}}}), 0.95);
  EXPECT_EQ(b.kind, Kind::kNone);
  EXPECT_FALSE(b.why.empty());
}

TEST(Boundary, FewCellsLeaveTheIntervalOpen) {
  const auto b = fit_boundary(outcomes({{0.1, {0}}, {1, {1}}}), 0.95);
  ASSERT_EQ(b.kind, Kind::kFitted);
  EXPECT_EQ(b.interval.low, 0);
  EXPECT_TRUE(std::isinf(b.interval.high));
}

}  // namespace
}  // namespace evenkeel::analysis
