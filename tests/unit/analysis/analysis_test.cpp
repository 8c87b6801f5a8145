#include "evenkeel/analysis/analysis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/error.h"

namespace evenkeel::analysis {
namespace {

const double kNan = std::nan("");

CellPoint cell(const std::string& arm, double lr, std::int64_t seed, double loss, std::string label = "") {
  if (label.empty()) label = std::isfinite(loss) ? "finished" : "nonfinite";
  return {arm, "d64", 98304, lr, seed, loss, label, 6.0, 300, arm == "qk_norm=off" ? 10.0 : 11.0};
}

/// Without the treatment 0.3 degrades and 1 is lost; with it nothing does.
std::vector<CellPoint> sweep() {
  std::vector<CellPoint> cells;
  for (std::int64_t seed = 1; seed <= 2; ++seed) {
    const double d = 0.02 * static_cast<double>(seed);
    for (const auto& [lr, off, on] :
         {std::tuple{0.03, 2.25, 2.30}, {0.1, 2.08, 2.11}, {0.3, 2.48, 2.02}, {1.0, kNan, 2.24}}) {
      cells.push_back(cell("qk_norm=off", lr, seed, off + d));
      cells.push_back(cell("qk_norm=per_head", lr, seed, on + d));
    }
  }
  return cells;
}

TEST(Analysis, LabelsCellsBySiblings) {
  const Analysis a = analyze(sweep());
  ASSERT_EQ(a.arms, (std::vector<std::string>{"qk_norm=off", "qk_norm=per_head"}));
  const Curve& off = a.curves[0];
  EXPECT_EQ(*off.best_lr.value, 0.1);
  EXPECT_NEAR(*off.best_loss.value, 2.11, 1e-12);
  // Limit 2.11 + 0.07 (6 - 2.11) = 2.3823: 2.50 at 0.3 is degraded, 2.27 at 0.03 is below the best and is
  // not.
  EXPECT_EQ(off.points[4].cell.label, "degraded");
  EXPECT_TRUE(off.points[4].unstable && off.points[6].unstable);
  EXPECT_FALSE(off.points[0].unstable);
  EXPECT_EQ(*off.stable_lr_max.value, 0.1);
  EXPECT_EQ(off.boundary.kind, Boundary::Kind::kFitted);
  EXPECT_GT(off.boundary.value, 0.1);
  EXPECT_LT(off.boundary.value, 0.3);

  EXPECT_EQ(*off.stable_lr_min.value, 0.03);  // 2.28 on average, within the limit
  EXPECT_NEAR(*off.stable_decades.value, std::log10(off.boundary.value / 0.03), 1e-12);
  EXPECT_NEAR(off.stable_decades.interval->low, std::log10(off.boundary.interval.low / 0.03), 1e-12);

  const Curve& on = a.curves[1];
  EXPECT_FALSE(on.stable_decades.value);  // above the swept LRs: no width
  EXPECT_FALSE(a.comparisons[0].stable_decades_change.value);
  EXPECT_EQ(on.boundary.kind, Boundary::Kind::kAboveRange);
  EXPECT_EQ(*on.stable_lr_max.value, 1);
  EXPECT_FALSE(on.paper.value);  // 3e-4 and others were not swept
  EXPECT_FALSE(on.run_length.value);
  EXPECT_TRUE(on.swept.value);
}

TEST(Analysis, NoStableRangeWhereNothingIsLearned) {
  std::vector<CellPoint> cells;
  for (const auto& [lr, loss] : {std::pair{0.1, 6.1}, {0.3, 6.2}, {1.0, 9.0}})
    for (const int seed : {1, 2}) cells.push_back(cell("off", lr, seed, loss));  // above l0 = 6
  EXPECT_FALSE(analyze(cells).curves[0].stable_lr_min.value);
  EXPECT_FALSE(analyze(cells).curves[0].stable_decades.value);
  for (CellPoint& c : cells) c.loss -= 4, c.label = "not_learned";
  EXPECT_FALSE(analyze(cells).curves[0].stable_decades.value);
}

TEST(Analysis, ARangeThatIsOnlyMovedIsNoWider) {
  // One arm is the other with every learning rate ten times as large.
  std::vector<CellPoint> cells;
  for (const int seed : {1, 2, 3}) {
    for (const auto& [lr, loss] : {std::pair{0.01, 3.5}, {0.03, 2.2}, {0.1, 2.1}, {0.3, 2.9}, {1.0, 3.1}}) {
      cells.push_back(cell("sigma_reparam=off", lr, seed, loss));
      cells.push_back(cell("sigma_reparam=on", 10 * lr, seed, loss));
    }
  }
  const Analysis a = analyze(cells);
  EXPECT_EQ(*a.curves[0].stable_lr_min.value, 0.03);
  EXPECT_EQ(*a.curves[1].stable_lr_min.value, 0.3);
  const Comparison& c = a.comparisons[0];
  EXPECT_NEAR(*c.boundary_decades.value, 1, 0.01);  // the fit's own precision
  EXPECT_NEAR(*c.stable_decades_change.value, 0, 0.01);
  EXPECT_LT(c.stable_decades_change.interval->low, 0);
}

TEST(Analysis, ComparesArmsPairedBySeed) {
  const Analysis a = analyze(sweep());
  ASSERT_EQ(a.comparisons.size(), 1u);
  const Comparison& c = a.comparisons[0];
  EXPECT_TRUE(c.at_least);
  EXPECT_NEAR(*c.boundary_decades.value, -std::log10(a.curves[0].boundary.value), 1e-12);
  EXPECT_EQ(c.agree, 2);
  EXPECT_EQ(c.seeds, 2);
  EXPECT_NEAR(*c.best_loss_change.value, 2.02 - 2.08, 1e-12);
  ASSERT_EQ(c.loss_change.size(), 4u);
  EXPECT_NEAR(*c.loss_change[0].change.value, 0.05, 1e-12);
  EXPECT_FALSE(c.loss_change[3].change.value);  // the baseline is lost there
  EXPECT_NEAR(*c.step_time_ratio.value, 1.1, 1e-12);
}

TEST(Analysis, NanNeitherWinsNorLosesTheBestLr) {
  for (const bool lost_first : {true, false}) {
    std::vector<CellPoint> cells{cell("a", 0.1, 1, lost_first ? kNan : 3.0),
                                 cell("a", 0.3, 1, lost_first ? 3.0 : kNan)};
    const Analysis a = analyze(cells);
    EXPECT_EQ(*a.curves[0].best_lr.value, lost_first ? 0.3 : 0.1);
    EXPECT_EQ(*a.curves[0].best_loss.value, 3.0);
    EXPECT_NEAR(*a.curves[0].swept.value, 1.5, 1e-12);
  }
  const Analysis lost = analyze({cell("a", 0.1, 1, kNan), cell("a", 0.3, 1, kNan)});
  EXPECT_FALSE(lost.curves[0].best_lr.value);
  EXPECT_EQ(lost.curves[0].boundary.kind, Boundary::Kind::kBelowRange);
  EXPECT_FALSE(lost.curves[0].stable_lr_max.value);
}

TEST(Analysis, OneLostSeedCountsAsL0WhenChoosingTheBest) {
  const Analysis a = analyze(
      {cell("a", 0.1, 1, 3.0), cell("a", 0.1, 2, 3.0), cell("a", 0.3, 1, 2.0), cell("a", 0.3, 2, kNan)});
  EXPECT_EQ(*a.curves[0].best_lr.value, 0.1);  // (2 + 6) / 2 = 4 is worse than 3
  EXPECT_TRUE(a.curves[0].points[3].unstable);
  EXPECT_TRUE(a.curves[0].points[2].cell.label == "finished");
}

TEST(Analysis, MissingCellsBlockWhatNeedsThem) {
  auto cells = sweep();
  for (auto& c : cells) {
    if (c.arm == "qk_norm=off" && c.lr == 0.3 && c.seed == 2) c.label = "missing", c.loss = kNan;
  }
  const Analysis a = analyze(cells);
  const Curve& off = a.curves[0];
  EXPECT_EQ(off.missing, 1);
  EXPECT_FALSE(off.best_lr.value || off.swept.value || off.stable_lr_max.value);
  EXPECT_EQ(off.boundary.kind, Boundary::Kind::kNone);
  EXPECT_NE(off.boundary.why.find("1 cell"), std::string::npos);
  EXPECT_TRUE(a.curves[1].best_lr.value);
  EXPECT_FALSE(a.comparisons[0].boundary_decades.value);
}

TEST(Analysis, WithoutL0DegradedCannotBeTold) {
  auto cells = sweep();
  for (auto& c : cells) c.l0 = kNan;
  const Analysis a = analyze(cells);
  EXPECT_EQ(*a.curves[0].best_lr.value, 0.1);
  EXPECT_FALSE(a.curves[0].swept.value);
  EXPECT_EQ(a.curves[0].boundary.kind, Boundary::Kind::kNone);
}

TEST(Analysis, TheCapIsTheBaselinesL0) {
  auto cells = sweep();
  for (auto& c : cells) c.l0 = c.arm == "qk_norm=off" ? 6.0 + 0.1 * static_cast<double>(c.seed) : 9.0;
  const Analysis a = analyze(cells);
  EXPECT_NEAR(a.curves[0].l0, 6.15, 1e-12);
  EXPECT_NEAR(a.curves[1].l0, 6.15, 1e-12);
}

TEST(Analysis, ComparesFirstWhatRestsOnMostSeeds) {
  std::vector<CellPoint> cells = sweep();
  for (CellPoint c : sweep()) {
    if (c.seed > 1) continue;
    c.size = "d32";
    c.params = 24576;
    cells.push_back(c);
    c.size = "d128";
    c.params = 786432;
    cells.push_back(c);
  }
  const Analysis a = analyze(cells);
  ASSERT_EQ(a.comparisons.size(), 3u);
  EXPECT_EQ(a.comparisons[0].size, "d64");
  EXPECT_EQ(a.comparisons[1].size, "d128");
  EXPECT_EQ(a.comparisons[2].size, "d32");
}

TEST(Analysis, ChoosesTheBaseline) {
  EXPECT_EQ(choose_baseline({"qk_norm=per_head", "qk_norm=off"}, ""), "qk_norm=off");
  EXPECT_EQ(
      choose_baseline({"qk_norm=off,z_loss=0.0001", "qk_norm=off,z_loss=0", "qk_norm=per_head,z_loss=0"}, ""),
      "qk_norm=off,z_loss=0");
  EXPECT_THROW(choose_baseline({"a"}, "b"), InputError);
}

TEST(Analysis, RefusesTwinsAndMissingLr) {
  EXPECT_THROW(analyze({cell("a", 0.1, 1, 2), cell("a", 0.1, 1, 3)}), InputError);
  EXPECT_THROW(analyze({cell("a", kNan, 1, 2)}), InputError);
}

}  // namespace
}  // namespace evenkeel::analysis
