#include "evenkeel/analysis/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/analysis/json.h"
#include "evenkeel/base/json.h"

namespace evenkeel::analysis {
namespace {

/// `seeds` seeds; without the treatment the first LR above 0.2 is lost, with it the first above `limit`.
std::vector<CellPoint> sweep(double limit, int seeds = 8) {
  std::vector<CellPoint> cells;
  for (std::int64_t seed = 1; seed <= seeds; ++seed) {
    for (const double lr : {0.01, 0.03, 0.1, 0.3, 1.0, 3.0}) {
      for (const bool treated : {false, true}) {
        const bool lost = lr > (treated ? limit : 0.2);
        CellPoint c;
        c.arm = treated ? "qk_norm=per_head" : "qk_norm=off";
        c.size = "d64";
        c.params = 98304;
        c.lr = lr;
        c.seed = seed;
        c.loss = lost ? NAN : 2 + 0.01 * static_cast<double>(seed) + std::abs(std::log10(lr / 0.1)) * 0.1;
        c.label = lost ? "nonfinite" : "finished";
        c.l0 = 6;
        c.steps = 300;
        c.step_ms = treated ? 12 : 10;
        cells.push_back(c);
      }
    }
  }
  return cells;
}

Analysis analyzed(const std::vector<CellPoint>& cells) {
  Options options;
  options.baseline = "qk_norm=off";
  return analyze(cells, options);
}

void expect_says(const std::string& sentence, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(sentence.find(part), std::string::npos) << part << "\n" << sentence;
}

TEST(Verdict, SaysWhatMovedWithItsInterval) {
  const auto sentences = verdict(analyzed(sweep(10)));
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_EQ(sentences[0], "qk_norm=per_head moves the boundary LR up, by at least 1.00 decades (95 %).");
  expect_says(sentences[1], {"at least 3", "between 0.1 and 0.3 [0.1, 0.3]", "of 8 seeds 8 surely later",
                             "best of the grid", "nat"});
  EXPECT_EQ(sentences[1].find("as long"), std::string::npos);  // wall clocks are no evidence
}

TEST(Verdict, SaysADirectionWithoutAnAmount) {
  // Brackets that touch: every seed is surely later, by anything up to a decade.
  expect_says(
      verdict(analyzed(sweep(0.5)))[0],
      {"moves the boundary LR up", "8 of 8 seeds surely later (sign test, p = 0.0078)", "0.00 and 1.00"});
}

TEST(Verdict, NeverSaysNothingMovedFromEqualBrackets) {
  expect_says(verdict(analyzed(sweep(0.2)))[0],
              {"is not resolved", "between −0.48 and 0.48 decades", "--refine"});
}

TEST(Verdict, SaysDiffersByLessThanTheMarginOnlyFromTheInterval) {
  auto cells = sweep(0.2);
  for (const CellPoint& c : sweep(0.2)) {
    if (c.lr != 0.1 && c.lr != 0.3) continue;
    CellPoint near = c;  // each seed's bracket narrowed to 0.18 to 0.2
    near.lr = c.lr == 0.1 ? 0.18 : 0.2;
    near.refined = true;
    cells.push_back(near);
  }
  expect_says(verdict(analyzed(cells))[0], {"differs by less than 0.25 decades"});
}

TEST(Verdict, OneSeedHasNoInterval) {
  const auto sentences = verdict(analyzed(sweep(0.5, 1)));
  expect_says(sentences[0], {"is not resolved", "no interval", "one seed"});
}

TEST(Verdict, SaysWhatItCannotSay) {
  auto cells = sweep(10, 4);
  for (auto& c : cells) {
    if (c.lr == 0.1 && c.arm == "qk_norm=off") c.label = "missing";
  }
  EXPECT_NE(verdict(analyzed(cells))[0].find("cannot be said"), std::string::npos);
  expect_says(verdict(analyze(sweep(10)))[0], {"Nothing is compared", "--baseline"});
  // One arm alone has no comparison but still a sentence.
  std::erase_if(cells, [](const auto& c) { return c.arm == "qk_norm=off"; });
  EXPECT_EQ(verdict(analyze(cells)).size(), 1u);
  EXPECT_TRUE(verdict(analyze({})).size() == 1u);
}

TEST(Verdict, SaysHowManyComparisonsWereMade) {
  auto cells = sweep(10);
  for (const CellPoint& c : sweep(0.2)) {
    if (c.arm == "qk_norm=off") continue;
    CellPoint other = c;
    other.arm = "qk_norm=whole_dim";
    cells.push_back(other);
  }
  const auto sentences = verdict(analyzed(cells));
  expect_says(sentences.back(), {"2 comparisons were made", "Holm", "qk_norm=per_head stands, no other"});
}

TEST(AnalysisJson, HoldsTheStableKeysAndNoHiddenDivergence) {
  const Json j = analysis_json(analyzed(sweep(10)));
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
  EXPECT_TRUE(treated["high"].is_null());
  EXPECT_EQ(treated["kind"], "at_least");
  EXPECT_EQ(treated["brackets"].size(), 8u);
  for (const char* key :
       {"direction", "low", "high", "interval", "later", "earlier", "undecided", "p", "holm_p"})
    EXPECT_TRUE(j["comparisons"][0]["shift"].contains(key)) << key;
  EXPECT_EQ(treated["interval"][1], std::numeric_limits<double>::infinity());
}

TEST(AnalysisJson, SaysWhyAnIntervalIsMissingThoughTheValueIsThere) {
  auto cells = sweep(10, 1);
  std::erase_if(cells, [](const auto& c) { return c.lr < 0.02; });
  const Json s = analysis_json(analyzed(cells))["curves"][0]["sensitivity"];
  ASSERT_EQ(s["split_of"], "swept");
  EXPECT_TRUE(s["interval"].is_null());
  EXPECT_NE(s["why"].get<std::string>().find("swept: no interval: one seed"), std::string::npos) << s["why"];
}

TEST(AnalysisJson, PrintsEveryConstant) {
  const Json k = analysis_json(analyzed(sweep(10)))["constants"];
  EXPECT_EQ(k["not_learned_margin"], 0.05);
  EXPECT_EQ(k["spike"], (Json{{"window", 64}, {"deviations", 6.0}, {"recovered", 1.0}}));
  EXPECT_EQ(k["collapse"], (Json{{"entropy_norm", 0.05}, {"records", 10}}));
}

}  // namespace
}  // namespace evenkeel::analysis
