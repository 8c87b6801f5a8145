#include "evenkeel/analysis/refine.h"

#include <gtest/gtest.h>

namespace evenkeel::analysis {
namespace {

/// Seed 1 breaks above 0.1, seed 2 never, seed 3 from the start; four seeds that learn make up the half.
std::vector<CellPoint> halves() {
  std::vector<CellPoint> cells;
  for (std::int64_t seed = 1; seed <= 6; ++seed) {
    for (const double lr : {0.03, 0.1, 0.3}) {
      const bool lost = seed == 3 || (seed != 2 && lr > 0.1);
      CellPoint c;
      c.arm = "off";
      c.size = "d64";
      c.lr = lr;
      c.seed = seed;
      c.loss = lost ? std::numeric_limits<double>::quiet_NaN() : 2;
      c.label = lost ? "nonfinite" : "finished";
      c.l0 = 6;
      cells.push_back(c);
    }
  }
  return cells;
}

TEST(NextRuns, HalveBracketsAndExtendTheGrid) {
  const auto next = next_runs(analyze(halves()));
  ASSERT_EQ(next.size(), 6u);
  EXPECT_EQ(next[0].seed, 1);
  EXPECT_EQ(next[0].lr, 0.1732);  // sqrt(0.1 * 0.3), to four digits
  EXPECT_EQ(next[1].lr, 0.9);     // beyond 0.3 by the grid's last ratio
  EXPECT_EQ(next[2].lr, 0.009);   // below 0.03 by its first
  EXPECT_EQ(next[3].lr, next[0].lr);
}

TEST(NextRuns, NothingForAnArmWithoutBoundary) {
  auto cells = halves();
  for (auto& c : cells) c.label = "not_learned", c.loss = 5;
  EXPECT_TRUE(next_runs(analyze(cells)).empty());
}

}  // namespace
}  // namespace evenkeel::analysis
