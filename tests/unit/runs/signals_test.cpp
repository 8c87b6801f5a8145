#include "evenkeel/runs/signals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

TEST(Thin, KeepsEndsAndEveryPeak) {
  runs::Series s;
  for (int i = 0; i < 10000; ++i) {
    s.steps.push_back(i);
    s.values.push_back(std::sin(0.01 * i));
  }
  s.values[4321] = 500;
  s.values[7777] = -500;
  const runs::Series t = thin(s, 200);
  EXPECT_LE(t.steps.size(), 220u);
  EXPECT_EQ(t.steps.front(), 0);
  EXPECT_EQ(t.steps.back(), 9999);
  EXPECT_TRUE(std::is_sorted(t.steps.begin(), t.steps.end()));
  EXPECT_EQ(*std::max_element(t.values.begin(), t.values.end()), 500);
  EXPECT_EQ(*std::min_element(t.values.begin(), t.values.end()), -500);
}

TEST(Thin, ShowsWhereASeriesStopsBeingFinite) {
  runs::Series s;
  for (int i = 0; i < 1000; ++i) {
    s.steps.push_back(i);
    s.values.push_back(i == 503 ? NAN : 1.0 * i);
  }
  const runs::Series t = thin(s, 20);
  const auto at = std::find(t.steps.begin(), t.steps.end(), 503);
  ASSERT_NE(at, t.steps.end());
  EXPECT_TRUE(std::isnan(t.values[static_cast<std::size_t>(at - t.steps.begin())]));
}

TEST(Thin, LeavesShortSeriesAlone) {
  const runs::Series s{{1, 2, 3}, {3, NAN, 1}};
  EXPECT_EQ(thin(s, 100).steps, s.steps);
}

TEST(Signals, TakeTheLargestLogitAndTheLowestLayer) {
  const test::TempFolder folder;
  {
    AppendFile heads(folder.path() / "heads.jsonl", 0);
    heads.write_line(runs::encode_record({{"step", 10},
                                          {"attn/layer00/logit_max", {1.0, 7.0}},
                                          {"attn/layer01/logit_max", {-2.0, 5.0}},
                                          {"attn/layer00/qk_sigma", {1.0, 0.5}},
                                          {"attn/layer01/qk_sigma", {0.2, 4.0}},
                                          {"attn/layer00/entropy", {1.0, 3.0}},
                                          {"attn/layer01/entropy", {0.0, 3.0}},
                                          {"attn/layer00/entropy_norm", {0.5, 0.6}},
                                          {"attn/layer01/entropy_norm", {0.1, 0.2}}}));
    heads.write_line(runs::encode_record(
        {{"step", 20}, {"attn/layer00/logit_max", {NAN, 7.0}}, {"attn/layer01/logit_max", {9.0, INFINITY}}}));
  }
  const Signals all = read_signals(folder.path());
  ASSERT_EQ(all.attention.size(), 1u);
  const AttentionSignals& s = all.attention[0];
  EXPECT_EQ(s.kind, "");
  ASSERT_EQ(s.logit_max.values.size(), 2u);
  EXPECT_EQ(s.logit_max.values[0], 7);
  EXPECT_TRUE(std::isnan(s.logit_max.values[1]));  // not hidden by the larger numbers beside it
  EXPECT_EQ(s.qk_sigma_max.values, std::vector<double>{4});
  ASSERT_EQ(s.entropy_min.values.size(), 1u);
  EXPECT_EQ(s.entropy_min.values[0], 1.5);  // means 2.0 and 1.5
  EXPECT_EQ(s.end_entropy, (std::vector<std::vector<double>>{{0.5, 0.6}, {0.1, 0.2}}));
  EXPECT_TRUE(all.train_loss.steps.empty());
  EXPECT_EQ(all.outcomes.heads_step, 20);
}

// Weights that are no distribution have no entropy.
TEST(Signals, OfARunWithoutEntropiesAreTheOthers) {
  const test::TempFolder folder;
  AppendFile heads(folder.path() / "heads.jsonl", 0);
  heads.write_line(runs::encode_record({{"step", 10}, {"attn/layer00/logit_max", {1.0, 7.0}}}));
  const Signals s = read_signals(folder.path());
  ASSERT_EQ(s.attention.size(), 1u);
  EXPECT_EQ(s.attention[0].logit_max.values, std::vector<double>{7});
  EXPECT_TRUE(s.attention[0].entropy_min.values.empty());
  EXPECT_TRUE(s.attention[0].end_entropy.empty());
  EXPECT_EQ(s.attention[0].end_logit_max, (std::vector<std::vector<double>>{{1, 7}}));
}

// As a trainer elsewhere may record it.
TEST(Signals, EntropiesAloneAreAttentionToo) {
  const test::TempFolder folder;
  AppendFile heads(folder.path() / "heads.jsonl", 0);
  heads.write_line(runs::encode_record({{"step", 10}, {"attn/layer00/entropy", {1.0, 2.0}}}));
  const Signals s = read_signals(folder.path());
  ASSERT_EQ(s.attention.size(), 1u);
  EXPECT_EQ(s.attention[0].entropy_min.values, std::vector<double>{1.5});
  EXPECT_TRUE(s.attention[0].logit_max.values.empty());
  EXPECT_EQ(s.outcomes.entropy_low, 1.5);
  EXPECT_TRUE(std::isnan(s.outcomes.logit_peak));
  EXPECT_EQ(s.outcomes.heads_step, 10);
}

TEST(Signals, LayersThatWereWrittenApartAreOneRecord) {
  const test::TempFolder folder;
  AppendFile heads(folder.path() / "heads.jsonl", 0);
  heads.write_line(runs::encode_record({{"step", 10}, {"attn/layer00/logit_max", {1.0, 2.0}}}));
  heads.write_line(runs::encode_record({{"step", 10}, {"attn/layer01/logit_max", {7.0, 3.0}}}));
  const Signals s = read_signals(folder.path());
  ASSERT_EQ(s.attention.size(), 1u);
  EXPECT_EQ(s.attention[0].logit_max.values, std::vector<double>{7});
  EXPECT_EQ(s.attention[0].end_logit_max, (std::vector<std::vector<double>>{{1, 2}, {7, 3}}));
}

TEST(Signals, KeepTheKindsOfAttentionApart) {
  const test::TempFolder folder;
  AppendFile heads(folder.path() / "heads.jsonl", 0);
  Json record{{"step", 10}};
  double value = 1;
  for (const char* site : {"encoder_layer00", "encoder_layer01", "decoder_layer00", "cross_layer00"}) {
    for (const char* quantity : {"logit_max", "entropy", "entropy_norm", "qk_sigma"})
      record[std::string("attn/") + site + "/" + quantity] = {value, value};
    ++value;
  }
  heads.write_line(runs::encode_record(record));
  const Signals s = read_signals(folder.path());
  ASSERT_EQ(s.attention.size(), 3u);
  EXPECT_EQ(s.attention[0].kind, "encoder");
  EXPECT_EQ(s.attention[0].logit_max.values, std::vector<double>{2});
  EXPECT_EQ(s.attention[0].entropy_min.values, std::vector<double>{1});
  EXPECT_EQ(s.attention[0].end_entropy, (std::vector<std::vector<double>>{{1, 1}, {2, 2}}));
  EXPECT_EQ(s.attention[1].kind, "decoder");
  EXPECT_EQ(s.attention[2].kind, "cross");
  EXPECT_EQ(s.attention[2].qk_sigma_max.values, std::vector<double>{4});
}

}  // namespace
}  // namespace evenkeel::runs
