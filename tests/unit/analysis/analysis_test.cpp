#include "evenkeel/analysis/analysis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/error.h"

namespace evenkeel::analysis {
namespace {

const double kNan = std::nan("");

CellPoint cell(const std::string& arm, double lr, std::int64_t seed, double loss, std::string label = "") {
  if (label.empty()) label = std::isfinite(loss) ? "finished" : "nonfinite";
  CellPoint c;
  c.arm = arm;
  c.size = "d64";
  c.params = 98304;
  c.lr = lr;
  c.seed = seed;
  c.loss = loss;
  c.label = label;
  c.l0 = 6;
  c.steps = 300;
  return c;
}

Options against(const std::string& baseline) {
  Options options;
  options.baseline = baseline;
  return options;
}
const Options kOff = against("qk_norm=off");

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
  const Analysis a = analyze(sweep(), kOff);
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
  EXPECT_EQ(off.boundary.kind, Boundary::Kind::kBracketed);
  EXPECT_NEAR(off.boundary.low, 0.1, 1e-12);
  EXPECT_NEAR(off.boundary.high, 0.3, 1e-12);

  EXPECT_EQ(*off.stable_lr_min.value, 0.03);  // 2.28 on average, within the limit
  EXPECT_NEAR(*off.stable_decades.value, std::log10(off.boundary.middle() / 0.03), 1e-12);
  EXPECT_NEAR(off.stable_decades.interval->low, std::log10(off.boundary.interval->low / 0.03), 1e-12);

  const Curve& on = a.curves[1];
  EXPECT_FALSE(on.stable_decades.value);  // above the swept LRs: no width
  EXPECT_FALSE(a.comparisons[0].stable_decades_change.value);
  EXPECT_EQ(on.boundary.kind, Boundary::Kind::kAtLeast);
  EXPECT_EQ(*on.stable_lr_max.value, 1);
  EXPECT_FALSE(on.paper.value);  // 3e-4 and others were not swept
  EXPECT_FALSE(on.run_length.value);
  EXPECT_TRUE(on.swept.value);
}

// Arms may be sizes: wide and deep beside a base.
TEST(Analysis, ASizeWithoutTheBaselineHasACapOfItsOwn) {
  std::vector<CellPoint> cells = sweep();
  for (CellPoint& c : cells)
    if (c.arm == "qk_norm=per_head") c.size = "d128";
  const Analysis a = analyze(cells, kOff);
  for (const Curve& curve : a.curves) EXPECT_EQ(curve.l0, 6) << curve.size;
}

TEST(Analysis, AnArmThatLearnsNowhereHasNoBoundary) {
  std::vector<CellPoint> cells;
  for (const auto& [lr, loss] : {std::pair{0.1, 6.1}, {0.3, 6.2}, {1.0, 9.0}})
    for (const int seed : {1, 2}) cells.push_back(cell("off", lr, seed, loss));  // above l0 = 6
  EXPECT_EQ(analyze(cells).curves[0].boundary.kind, Boundary::Kind::kNone);
  EXPECT_FALSE(analyze(cells).curves[0].stable_lr_min.value);
  EXPECT_FALSE(analyze(cells).curves[0].stable_decades.value);
  for (CellPoint& c : cells) c.loss -= 4, c.label = "not_learned";
  const Curve curve = analyze(cells).curves[0];
  EXPECT_EQ(curve.boundary.kind, Boundary::Kind::kNone);
  EXPECT_NE(curve.boundary.why.find("learned nowhere"), std::string::npos) << curve.boundary.why;
  EXPECT_FALSE(curve.boundary.interval || curve.stable_decades.value);
  // Half of the seeds at the best LR suffice.
  cells[0].label = "finished";
  EXPECT_EQ(analyze(cells).curves[0].boundary.kind, Boundary::Kind::kBracketed);
}

TEST(Analysis, ANonfiniteCellIsUnstableAtAnyLr) {
  std::vector<CellPoint> cells;
  for (const int seed : {1, 2}) {
    for (const auto& [lr, loss] : {std::pair{0.01, 3.0}, {0.03, 2.5}, {0.1, 2.0}, {0.3, 2.1}, {1.0, 4.0}})
      cells.push_back(cell("off", lr, seed, seed == 2 && lr == 0.03 ? kNan : loss));
  }
  const Curve curve = analyze(cells).curves[0];
  EXPECT_EQ(*curve.best_lr.value, 0.1);
  EXPECT_NEAR(curve.boundary.brackets[0].high, 0, 1e-12);
  EXPECT_NEAR(curve.boundary.brackets[1].high, std::log10(0.03), 1e-12);
  EXPECT_EQ(curve.boundary.brackets[1].stable_above, 2);
  EXPECT_EQ(curve.boundary.reentrant, 1);
}

TEST(Analysis, ARelapseIsUnstable) {
  auto cells = sweep();
  for (auto& c : cells) c.relapsed = c.arm == "qk_norm=off" && c.lr == 0.1 && c.seed == 2;
  const Curve off = analyze(cells, kOff).curves[0];
  EXPECT_NEAR(off.boundary.brackets[1].high, -1, 1e-12);
  EXPECT_EQ(off.points[3].cell.label, "finished");
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
  const Analysis a = analyze(cells, against("sigma_reparam=off"));
  EXPECT_EQ(*a.curves[0].stable_lr_min.value, 0.03);
  EXPECT_EQ(*a.curves[1].stable_lr_min.value, 0.3);
  const Comparison& c = a.comparisons[0];
  EXPECT_NEAR(c.shift.middle(), 1, 1e-9);
  EXPECT_NEAR(*c.stable_decades_change.value, 0, 1e-9);
  EXPECT_LT(c.stable_decades_change.interval->low, 0);
  EXPECT_NEAR(*a.curves[1].headroom_decades.value, *a.curves[0].headroom_decades.value, 1e-9);
}

TEST(Analysis, ComparesArmsPairedBySeed) {
  const Analysis a = analyze(sweep(), kOff);
  ASSERT_EQ(a.comparisons.size(), 1u);
  const Comparison& c = a.comparisons[0];
  EXPECT_EQ(c.shift.later, 2);
  EXPECT_EQ(c.shift.seeds, 2);
  EXPECT_NEAR(c.shift.low, -std::log10(0.3), 1e-12);  // stable up to 1 against unstable from 0.3
  EXPECT_TRUE(std::isinf(c.shift.high));
  EXPECT_EQ(c.shift.direction, Direction::kUnresolved);  // two open seeds bound nothing at this level
  EXPECT_NEAR(*c.best_loss_change.value, 2.02 - 2.08, 1e-12);
  ASSERT_EQ(c.loss_change.size(), 4u);
  EXPECT_NEAR(*c.loss_change[0].change.value, 0.05, 1e-12);
  EXPECT_FALSE(c.loss_change[3].change.value);  // the baseline is lost there
}

TEST(Analysis, RefinedCellsMoveBracketsAndNothingElse) {
  auto cells = sweep();
  for (auto& c : cells) {
    if (c.arm == "qk_norm=per_head" && c.lr == 1.0) c.loss = 3.0;  // degraded: every bracket is finite
  }
  const Analysis grid = analyze(cells, kOff);
  for (const std::int64_t seed : {1, 2}) {
    CellPoint stable = cell("qk_norm=off", 0.2, seed, 1.5);  // better than the best of the grid
    stable.refined = true;
    cells.push_back(stable);
  }
  const Analysis refined = analyze(cells, kOff);
  const Curve &before = grid.curves[0], &after = refined.curves[0];
  EXPECT_EQ(*after.best_lr.value, *before.best_lr.value);
  EXPECT_EQ(*after.best_loss.value, *before.best_loss.value);
  EXPECT_EQ(*after.swept.value, *before.swept.value);
  EXPECT_EQ(after.lrs.size(), before.lrs.size());
  EXPECT_EQ(after.refined, 2);
  EXPECT_NEAR(after.boundary.low, 0.2, 1e-12);
  EXPECT_NEAR(after.boundary.high, 0.3, 1e-12);
}

TEST(Analysis, NanNeitherWinsNorLosesTheBestLr) {
  for (const bool lost_first : {true, false}) {
    std::vector<CellPoint> cells{cell("a", 0.1, 1, lost_first ? kNan : 3.0),
                                 cell("a", 0.3, 1, lost_first ? 3.0 : kNan)};
    const Analysis a = analyze(cells, cells[0].arm == "a" ? Options() : kOff);
    EXPECT_EQ(*a.curves[0].best_lr.value, lost_first ? 0.3 : 0.1);
    EXPECT_EQ(*a.curves[0].best_loss.value, 3.0);
    EXPECT_NEAR(*a.curves[0].swept.value, 1.5, 1e-12);
  }
  const Analysis lost = analyze({cell("a", 0.1, 1, kNan), cell("a", 0.3, 1, kNan)});
  EXPECT_FALSE(lost.curves[0].best_lr.value);
  EXPECT_EQ(lost.curves[0].boundary.kind, Boundary::Kind::kNone);
  EXPECT_FALSE(lost.curves[0].stable_lr_max.value);
}

TEST(Analysis, OneLostSeedCountsAsL0WhenChoosingTheBest) {
  const Analysis a = analyze(
      {cell("a", 0.1, 1, 3.0), cell("a", 0.1, 2, 3.0), cell("a", 0.3, 1, 2.0), cell("a", 0.3, 2, kNan)});
  EXPECT_EQ(*a.curves[0].best_lr.value, 0.1);  // (2 + 6) / 2 = 4 is worse than 3
  EXPECT_TRUE(a.curves[0].points[3].unstable);
  EXPECT_TRUE(a.curves[0].points[2].cell.label == "finished");
}

TEST(Analysis, AMissingCellBlocksItsSeed) {
  auto cells = sweep();
  for (auto& c : cells) {
    if (c.arm == "qk_norm=off" && c.lr == 0.3 && c.seed == 2) c.label = "missing", c.loss = kNan;
  }
  const Analysis a = analyze(cells, kOff);
  const Curve& off = a.curves[0];
  EXPECT_EQ(off.missing, 1);
  EXPECT_EQ(off.seeds, 1);
  EXPECT_EQ(off.boundary.blocked, 1);
  ASSERT_EQ(off.boundary.brackets.size(), 1u);
  EXPECT_EQ(off.boundary.brackets[0].seed, 1);
  EXPECT_FALSE(off.at(0.3)->loss.value);  // a mean over the seeds there needs them all
  EXPECT_TRUE(a.curves[1].best_lr.value);
  EXPECT_EQ(a.comparisons[0].shift.seeds, 1);
  for (auto& c : cells) {
    if (c.arm == "qk_norm=off" && c.lr == 0.3) c.label = "missing", c.loss = kNan;
  }
  const Curve none = analyze(cells, kOff).curves[0];
  EXPECT_FALSE(none.best_lr.value || none.swept.value || none.stable_lr_max.value);
  EXPECT_EQ(none.boundary.kind, Boundary::Kind::kNone);
  EXPECT_NE(none.boundary.why.find("2 cells"), std::string::npos);
}

TEST(Analysis, WithoutL0DegradedCannotBeTold) {
  auto cells = sweep();
  for (auto& c : cells) c.l0 = kNan;
  const Analysis a = analyze(cells, cells[0].arm == "a" ? Options() : kOff);
  EXPECT_EQ(*a.curves[0].best_lr.value, 0.1);
  EXPECT_FALSE(a.curves[0].swept.value);
  EXPECT_EQ(a.curves[0].boundary.kind, Boundary::Kind::kNone);
}

TEST(Analysis, TheCapIsTheBaselinesL0) {
  auto cells = sweep();
  for (auto& c : cells) c.l0 = c.arm == "qk_norm=off" ? 6.0 + 0.1 * static_cast<double>(c.seed) : 9.0;
  const Analysis a = analyze(cells, cells[0].arm == "a" ? Options() : kOff);
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
  const Analysis a = analyze(cells, cells[0].arm == "a" ? Options() : kOff);
  ASSERT_EQ(a.comparisons.size(), 3u);
  EXPECT_EQ(a.comparisons[0].size, "d64");
  EXPECT_EQ(a.comparisons[1].size, "d128");
  EXPECT_EQ(a.comparisons[2].size, "d32");
}

TEST(Analysis, NoNameMakesABaseline) {
  const Analysis a = analyze(sweep());
  EXPECT_TRUE(a.options.baseline.empty());
  EXPECT_TRUE(a.comparisons.empty());
  EXPECT_NE(a.no_baseline.find("--baseline"), std::string::npos);
  EXPECT_THROW(analyze(sweep(), against("off")), InputError);
  EXPECT_EQ(analyze({cell("a", 0.1, 1, 2)}).options.baseline, "a");
}

TEST(Analysis, RefusesTwinsAndMissingLr) {
  EXPECT_THROW(analyze({cell("a", 0.1, 1, 2), cell("a", 0.1, 1, 3)}), InputError);
  EXPECT_THROW(analyze({cell("a", kNan, 1, 2)}), InputError);
}

}  // namespace
}  // namespace evenkeel::analysis
