#include "evenkeel/analysis/shift.h"

#include <gtest/gtest.h>

#include <cmath>

namespace evenkeel::analysis {
namespace {

/// One seed per pair (largest stable LR, smallest unstable LR).
Boundary boundary(const std::vector<std::pair<double, double>>& ends, std::int64_t first_seed = 1) {
  std::vector<Bracket> all;
  for (const auto& [low, high] : ends) {
    all.push_back(
        bracket_of(first_seed + static_cast<std::int64_t>(all.size()), {{low, false}, {high, true}}));
  }
  return boundary_of(std::move(all), 0.95);
}

using Ends = std::vector<std::pair<double, double>>;

TEST(Shift, OfPublishedOutcomes) {
  // docs/design/statistics.md: shift [-0.05, 1.19], 8 of 8 seeds surely later, p = 0.008.
  Ends without(7, {0.1, 0.3});
  without.emplace_back(0.03, 0.1);
  const Shift s = shift_between(boundary(Ends(8, {0.3, 1.0})), boundary(without), 0.25, 0.95);
  EXPECT_EQ(s.later, 8);
  EXPECT_EQ(s.seeds, 8);
  EXPECT_NEAR(s.p, 2.0 / 256, 1e-12);
  EXPECT_NEAR(s.interval->low, -0.05, 0.005);
  EXPECT_NEAR(s.interval->high, 1.19, 0.005);
  EXPECT_EQ(s.direction, Direction::kUp);  // by the sign test, though the interval holds 0
  EXPECT_TRUE(s.paired);
}

TEST(Shift, NoNullIsSaidFromAPointEstimate) {
  // Both arms break in the same bracket: the estimate is 0 and the shift may be half a decade either way.
  for (const std::size_t n : {1u, 2u, 8u, 100u}) {
    const Shift s = shift_between(boundary(Ends(n, {0.1, 0.3})), boundary(Ends(n, {0.1, 0.3})), 0.25, 0.95);
    EXPECT_EQ(s.middle(), 0);
    EXPECT_EQ(s.direction, Direction::kUnresolved) << n;
    EXPECT_EQ(s.later + s.earlier, 0);
  }
  // Brackets of 0.05 decades allow less than 0.1.
  const Ends narrow(8, {0.1, 0.112});
  const Shift s = shift_between(boundary(narrow), boundary(narrow), 0.25, 0.95);
  EXPECT_EQ(s.direction, Direction::kNone);
  EXPECT_EQ(shift_between(boundary(narrow), boundary(narrow), 0.01, 0.95).direction, Direction::kUnresolved);
}

TEST(Shift, TheIntervalAloneCanSayADirection) {
  // Three seeds cannot pass a sign test; a decade apart in brackets of 0.12 they need not.
  const Shift s = shift_between(boundary(Ends(3, {1.0, 1.32})), boundary(Ends(3, {0.1, 0.132})), 0.25, 0.95);
  EXPECT_EQ(s.direction, Direction::kUp);
  EXPECT_GT(s.interval->low, 0);
  EXPECT_LE(s.p, 0.05);
  const Shift down =
      shift_between(boundary(Ends(3, {0.1, 0.132})), boundary(Ends(3, {1.0, 1.32})), 0.25, 0.95);
  EXPECT_EQ(down.direction, Direction::kDown);
  EXPECT_NEAR(down.interval->high, -s.interval->low, 1e-9);
}

TEST(Shift, PairsBySeed) {
  // Thresholds differ by a decade between seeds and by 0.5 within: pairing takes the former out.
  Ends off, on;
  for (int i = 0; i < 8; ++i) {
    const double at = std::pow(10.0, -2 + 0.25 * i);
    off.emplace_back(at, at * 1.05);
    on.emplace_back(3 * at, 3.15 * at);
  }
  const Shift paired = shift_between(boundary(on), boundary(off), 0.25, 0.95);
  const Shift apart = shift_between(boundary(on, 101), boundary(off), 0.25, 0.95);
  EXPECT_TRUE(paired.paired);
  EXPECT_FALSE(apart.paired);
  EXPECT_EQ(apart.seeds, 0);
  EXPECT_LT(paired.interval->high - paired.interval->low, 0.1);
  EXPECT_GT(apart.interval->high - apart.interval->low, 1);
  EXPECT_NEAR(apart.middle(), paired.middle(), 1e-9);
}

TEST(Shift, UndecidedSeedsCountAgainst) {
  Ends off(8, {0.1, 0.3}), on(8, {0.3, 1.0});
  on[0] = on[1] = {0.1, 0.3};
  const Shift s = shift_between(boundary(on), boundary(off), 0.25, 0.95);
  EXPECT_EQ(s.later, 6);
  EXPECT_EQ(s.earlier, 0);
  // 6 of 8: P(X >= 6) = 37 / 256.
  EXPECT_NEAR(s.p, 2 * 37.0 / 256, 1e-9);
  EXPECT_EQ(s.direction, Direction::kUnresolved);
}

TEST(Shift, ABoundIsAnAnswer) {
  std::vector<Bracket> open;
  for (std::int64_t seed = 1; seed <= 8; ++seed) open.push_back(bracket_of(seed, {{0.1, false}, {3, false}}));
  const Shift s = shift_between(boundary_of(open, 0.95), boundary(Ends(8, {0.1, 0.3})), 0.25, 0.95);
  EXPECT_EQ(s.direction, Direction::kUp);
  EXPECT_NEAR(s.interval->low, 1, 1e-9);
  EXPECT_TRUE(std::isinf(s.interval->high));
  const Shift both = shift_between(boundary_of(open, 0.95), boundary_of(open, 0.95), 0.25, 0.95);
  EXPECT_EQ(both.direction, Direction::kNotKnown);
  EXPECT_FALSE(both.why.empty());
}

TEST(Shift, OfAnArmWithoutBoundaryIsNotKnown) {
  Boundary none;
  none.why = "the arm learned nowhere";
  const Shift s = shift_between(none, boundary(Ends(8, {0.1, 0.3})), 0.25, 0.95);
  EXPECT_EQ(s.direction, Direction::kNotKnown);
  EXPECT_EQ(s.why, none.why);
  EXPECT_EQ(shift_between(boundary(Ends(8, {0.1, 0.3})), none, 0.25, 0.95).why, "baseline: " + none.why);
}

TEST(Holm, AdjustsAndKeepsTheOrder) {
  // 0.01 * 3, 0.02 * 2, 0.03 * 1 raised to the one before it.
  const auto p = holm_adjusted({0.03, 0.01, 0.02});
  EXPECT_NEAR(p[1], 0.03, 1e-12);
  EXPECT_NEAR(p[2], 0.04, 1e-12);
  EXPECT_NEAR(p[0], 0.04, 1e-12);
  EXPECT_EQ(holm_adjusted({0.9, 0.8})[0], 1);
  EXPECT_TRUE(holm_adjusted({}).empty());
}

}  // namespace
}  // namespace evenkeel::analysis
