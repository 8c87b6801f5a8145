#include "evenkeel/analysis/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/analysis/json.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {
namespace {

std::vector<CellPoint> sweep(bool treated_breaks) {
  std::vector<CellPoint> cells;
  for (std::int64_t seed = 1; seed <= 4; ++seed) {
    for (const double lr : {0.01, 0.03, 0.1, 0.3, 1.0, 3.0}) {
      const double shift = 0.01 * static_cast<double>(seed) + std::abs(std::log10(lr / 0.1)) * 0.1;
      const auto add = [&](const char* arm, double limit, double step) {
        const bool lost = lr > limit;
        cells.push_back({arm, "d64", 98304, lr, seed, lost ? NAN : 2 + shift, lost ? "nonfinite" : "finished",
                         6, 300, step});
      };
      add("qk_norm=off", 0.2, 10);
      add("qk_norm=per_head", treated_breaks ? 0.2 : 10, 12);
    }
  }
  return cells;
}

TEST(Verdict, SaysWhatMovedAndWhatItCost) {
  const auto sentences = verdict(analyze(sweep(false)));
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_EQ(sentences[0], "qk_norm=per_head moves the boundary LR up by at least 1.2 decades.");
  for (const char* part :
       {"above 3", "no cell unstable", "0.17", "4 of 4 seeds agree", "nat", "1.20 times as long"})
    EXPECT_NE(sentences[1].find(part), std::string::npos) << part << "\n" << sentences[1];
}

TEST(Verdict, SaysWhenNothingMoved) {
  EXPECT_EQ(verdict(analyze(sweep(true)))[0], "qk_norm=per_head does not move the boundary LR.");
}

TEST(Verdict, SaysWhatItCannotSay) {
  auto cells = sweep(false);
  cells[3].label = "missing";
  EXPECT_NE(verdict(analyze(cells))[0].find("cannot be said"), std::string::npos);
  // One arm alone has no comparison but still a sentence.
  std::erase_if(cells, [](const auto& c) { return c.arm == "qk_norm=off"; });
  EXPECT_EQ(verdict(analyze(cells)).size(), 1u);
  EXPECT_TRUE(verdict(analyze({})).size() == 1u);
}

TEST(AnalysisJson, HoldsTheStableKeysAndNoHiddenDivergence) {
  auto cells = sweep(false);
  const Json j = analysis_json(analyze(cells));
  const Json& curve = j["curves"][0];
  for (const char* key : {"arm", "size", "params", "l0", "points", "sensitivity", "best_lr", "best_loss",
                          "stable_lr_max", "stable_lr_min", "stable_decades", "boundary_lr"})
    EXPECT_TRUE(curve.contains(key)) << key;
  for (const char* key : {"paper", "run_length", "below", "above", "interval", "undertrained"})
    EXPECT_TRUE(curve["sensitivity"].contains(key)) << key;
  EXPECT_TRUE(curve["sensitivity"]["paper"].is_null());
  EXPECT_NE(curve["sensitivity"]["why"].get<std::string>().find("0.0003"), std::string::npos);
  EXPECT_TRUE(curve["sensitivity"]["run_length"].is_number());  // 0.01 to 3 is the window of 300 steps
  EXPECT_TRUE(std::isnan(curve["points"].back()["loss"].get<double>()));
  EXPECT_EQ(curve["points"].back()["label"], "nonfinite");
  const Json& treated = j["curves"][1]["boundary_lr"];
  EXPECT_TRUE(treated["value"].is_null());
  EXPECT_FALSE(treated["why"].get<std::string>().empty());
  EXPECT_EQ(treated["interval"][1], std::numeric_limits<double>::infinity());
}

TEST(AnalysisJson, SaysWhyAnIntervalIsMissingThoughTheValueIsThere) {
  auto cells = sweep(false);
  std::erase_if(cells, [](const auto& c) { return c.seed != 1 || c.lr < 0.02; });
  const Json s = analysis_json(analyze(cells))["curves"][0]["sensitivity"];
  ASSERT_EQ(s["split_of"], "swept");
  EXPECT_TRUE(s["interval"].is_null());
  EXPECT_NE(s["why"].get<std::string>().find("swept: no interval: one seed"), std::string::npos) << s["why"];
}

TEST(AnalysisJson, PrintsEveryConstant) {
  const Json k = analysis_json(analyze(sweep(false)))["constants"];
  EXPECT_EQ(k["not_learned_margin"], 0.05);
  EXPECT_EQ(k["spike"], (Json{{"window", 64}, {"deviations", 6.0}, {"recovered", 1.0}}));
  EXPECT_EQ(k["collapse"], (Json{{"entropy_norm", 0.05}, {"records", 10}}));
}

}  // namespace
}  // namespace evenkeel::analysis
