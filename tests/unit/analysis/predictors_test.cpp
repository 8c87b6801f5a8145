#include "evenkeel/analysis/predictors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/analysis/predictor_runs.h"
#include "evenkeel/analysis/predictors_json.h"
#include "evenkeel/base/error.h"
#include "tests/support/fixture_sweep.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::analysis {
namespace {

TEST(Auc, TiesCountHalf) {
  const std::vector<Scored> runs{{3, true, 0}, {2, true, 1}, {1, false, 2}, {2, false, 3}};
  const Estimate e = auc(runs, 0.95);
  EXPECT_EQ(*e.value, 3.5 / 4);
  EXPECT_EQ(e.n, 4);
  EXPECT_FALSE(e.interval);
  EXPECT_NE(e.why.find("2 groups with failing"), std::string::npos) << e.why;
  EXPECT_EQ(*auc({{1, true}, {1, false, 1}}, 0.95).value, 0.5);
  EXPECT_EQ(*auc({{INFINITY, true}, {INFINITY, false, 1}, {0, false, 1}}, 0.95).value, 0.75);
  EXPECT_FALSE(auc({{1, true}, {2, true}}, 0.95).value);
}

TEST(Auc, StrataCompareOnlyTheirOwn) {
  // Stratum 0: 1 against 2, lost. Stratum 1: 9 against 8 and 9: 1.5 of 2. Stratum 2 holds no stable run.
  const std::vector<Scored> runs{{1, true, 0, 0},  {2, false, 1, 0}, {9, true, 2, 1},
                                 {8, false, 3, 1}, {9, false, 3, 1}, {5, true, 4, 2}};
  const Estimate e = auc(runs, 0.95);
  EXPECT_EQ(*e.value, 1.5 / 3);
  EXPECT_EQ(e.n, 3);
  EXPECT_NE(auc(runs, 0.95, 10).why.find("3 pairs"), std::string::npos);
}

std::vector<Scored> noisy(double shift) {
  std::vector<Scored> runs;
  Rng rng(1, "test/auc");
  for (int group = 0; group < 20; ++group)
    for (int seed = 0; seed < 3; ++seed)
      runs.push_back({rng.normal() + (group < 8 ? shift : 0), group < 8, group});
  return runs;
}

TEST(Auc, IntervalHoldsTheValue) {
  const Estimate a = auc(noisy(1), 0.95);
  ASSERT_TRUE(a.interval);
  EXPECT_LT(a.interval->low, *a.value);
  EXPECT_GT(a.interval->high, *a.value);
  // Phi(1 / sqrt 2) = 0.76.
  EXPECT_LT(a.interval->low, 0.76);
  EXPECT_GT(a.interval->high, 0.76);
  const Estimate same = auc_difference(noisy(1), noisy(1), 0.95);
  EXPECT_EQ(*same.value, 0);
  EXPECT_FALSE(same.interval);
  EXPECT_EQ(same.why, "the difference does not vary over groups");
}

TEST(Auc, IntervalOfPerfectSeparationIsThatOfAsManyTrialsAsGroups) {
  std::vector<Scored> runs;
  for (int group = 0; group < 40; ++group)
    for (int seed = 0; seed < 3; ++seed) runs.push_back({group < 20 ? 1.0 : 0.0, group < 20, group});
  const Estimate e = auc(runs, 0.95);
  ASSERT_TRUE(e.interval);
  EXPECT_EQ(e.interval->high, 1);
  // Forty trials that all succeed: 0.025^(1/40), with t(19) in place of t(39) a little less.
  EXPECT_LT(e.interval->low, std::pow(0.025, 1.0 / 40));
  EXPECT_GT(e.interval->low, std::pow(0.025, 1.0 / 36));
  for (Scored& run : runs) run.score = -run.score;
  EXPECT_EQ(auc(runs, 0.95).interval->low, 0);
  EXPECT_NEAR(auc(runs, 0.95).interval->high, 1 - e.interval->low, 1e-12);
}

TEST(Auc, FewerThanThreeGroupsOfAnOutcomeGiveNoInterval) {
  std::vector<Scored> runs{{3, true, 0}, {2, true, 1}};
  for (int group = 2; group < 12; ++group) runs.push_back({0.5 * group, false, group});
  const Estimate e = auc(runs, 0.95);
  EXPECT_TRUE(e.value);
  EXPECT_FALSE(e.interval);
  EXPECT_NE(e.why.find("2 groups with failing and 10 with stable runs; an interval needs 3"),
            std::string::npos)
      << e.why;
  runs.push_back({4, true, 12});
  EXPECT_TRUE(auc(runs, 0.95).interval);
}

TEST(OverGroups, SharesAndMedians) {
  const std::vector<bool> all(12, true);
  const std::vector<int> six{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}, two{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  const Estimate share = share_over_groups(all, six, 0.95);
  EXPECT_EQ(*share.value, 1);
  EXPECT_EQ(share.interval->high, 1);
  EXPECT_NEAR(share.interval->low, std::pow(0.025, 1.0 / 6), 1e-9);
  EXPECT_EQ(share_over_groups(all, two, 0.95).why, "2 groups; an interval needs 3");
  std::vector<double> values;
  std::vector<int> groups;
  for (int i = 0; i < 14; ++i) {
    values.push_back(i);
    groups.push_back(i / 2);
    if (i != 11) continue;
    EXPECT_EQ(median_over_groups(values, groups, 0.95).why, "6 groups are too few to bound a median");
  }
  const Estimate median = median_over_groups(values, groups, 0.95);
  EXPECT_EQ(*median.value, 6.5);
  // Seven groups bound a median by little less than its extremes.
  ASSERT_TRUE(median.interval) << median.why;
  EXPECT_LE(median.interval->low, 1);
  EXPECT_GE(median.interval->high, 12);
}

TEST(Auc, SeedsOfAGroupAreNotIndependent) {
  // Three equal runs per group are worth no more than one.
  std::vector<Scored> copies, once;
  for (const Scored& run : noisy(1)) {
    if (!once.empty() && once.back().group == run.group) continue;
    once.push_back(run);
    for (int i = 0; i < 3; ++i) copies.push_back(run);
  }
  const Estimate a = auc(once, 0.95), b = auc(copies, 0.95);
  EXPECT_EQ(*a.value, *b.value);
  // The same sums, rounded otherwise.
  EXPECT_NEAR(a.interval->low, b.interval->low, 1e-9);
}

TEST(Spearman, AverageRanks) {
  // Ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3: 4.5 / sqrt(4.5 * 5).
  EXPECT_NEAR(spearman({1, 2, 2, 7}, {1, 30, 2, 400}), 4.5 / std::sqrt(22.5), 1e-12);
  EXPECT_NEAR(spearman({1, 2, 3}, {3, 2, 1}), -1, 1e-12);
  EXPECT_TRUE(std::isnan(spearman({1, 1, 1}, {3, 2, 1})));
  const std::vector<double> ten{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, other{2, 1, 4, 3, 6, 5, 8, 7, 10, 9};
  const Estimate e = spearman_with_interval(ten, other, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4}, 0.95);
  EXPECT_GT(*e.value, 0.9);
  EXPECT_TRUE(e.interval);
  EXPECT_FALSE(spearman_with_interval({1, 2}, {1, 2}, {0, 1}, 0.95).value);
}

runs::Series steps_of(std::int64_t n, const std::function<double(std::int64_t)>& value) {
  runs::Series s;
  for (std::int64_t step = 1; step <= n; ++step) {
    s.steps.push_back(step);
    s.values.push_back(value(step));
  }
  return s;
}

TEST(DegradedOnset, FirstStepFromWhichTheMedianStaysAbove) {
  const auto flat = steps_of(60, [](auto) { return 1.0; });
  // Six of the last ten values are 2 for the first time at step 46. An earlier excursion ended.
  const auto loss = steps_of(60, [](auto step) { return step > 40 || (step > 10 && step < 30) ? 2.0 : 1.0; });
  EXPECT_EQ(degraded_onset(loss, flat, 0.5).step, 46);
  EXPECT_FALSE(degraded_onset(flat, flat, 0.5).step);
  EXPECT_FALSE(degraded_onset(flat, flat, 0.5).blocked);
  const Onset blocked = degraded_onset(loss, steps_of(50, [](auto) { return 1.0; }), 0.5);
  EXPECT_TRUE(blocked.blocked);
  EXPECT_NE(blocked.why.find("step 60"), std::string::npos) << blocked.why;
}

std::size_t index_of(std::string_view name) {
  std::size_t i = 0;
  while (signals()[i].name != name) ++i;
  return i;
}

/// 100 steps; logit_max is 1 until `alarm`, `level` from then on. Every signal is that, but lr.
Trajectory trajectory(int group, bool failed, std::int64_t alarm, double level,
                      std::optional<std::int64_t> onset = {}) {
  Trajectory t;
  t.run = "/runs/" + std::to_string(group);
  t.group = std::to_string(100 + group);
  t.siblings = "all";
  t.steps = 100;
  t.failed = failed;
  t.onset = onset;
  for (const Signal& signal : signals()) {
    t.signals.push_back(steps_of(100, [&](auto step) {
      const double v = step < alarm ? 1 : level;
      return signal.low_is_danger ? 1 / v : v;
    }));
  }
  return t;
}

TEST(Predictors, LeadTimeByHand) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 6; ++group) runs.push_back(trajectory(group, false, 10, 2));
  runs.push_back(trajectory(6, true, 20, 5, 60));  // 40 steps ahead
  runs.push_back(trajectory(7, true, 50, 5, 60));  // 10 steps ahead
  runs.push_back(trajectory(8, true, 70, 5, 60));  // too late
  runs.push_back(trajectory(9, true, 10, 2, 60));  // as a stable run: never
  runs.push_back(trajectory(10, true, 20, 5));     // no onset
  const Predictors p = find_predictors(runs, {.at = {{0.25, 0}, {0, 60}}});
  EXPECT_EQ(p.runs, 11);
  EXPECT_EQ(p.failed, 5);
  EXPECT_EQ(p.onset_unknown, 1);
  for (const char* name : {"logit_max", "entropy_layer"}) {
    const Lead& lead = p.signals[index_of(name)].lead;
    EXPECT_EQ(*lead.alarmed.value, 0.5) << name;
    EXPECT_EQ(lead.alarmed.n, 4);
    EXPECT_EQ(*lead.steps.value, 25);
    EXPECT_EQ(*lead.share.value, 0.25);
    EXPECT_EQ(*lead.false_alarms.value, 0);
    // None of six groups: the interval of none in six trials.
    EXPECT_NEAR(lead.false_alarms.interval->high, 1 - std::pow(0.025, 1.0 / 6), 1e-9);
    EXPECT_EQ(lead.late, 1);
    EXPECT_EQ(lead.threshold->low, name[0] == 'e' ? 0.5 : 2);
  }
  EXPECT_FALSE(p.signals[index_of("lr")].lead.threshold);
  // At step 25 two of five failing runs are at 5, three at 1 or 2 as the stable ones at 2:
  // 2 * 6 won, the one at 2 ties, two at 1 lose.
  const SignalAt& at = p.signals[index_of("logit_max")].at[0];
  EXPECT_NEAR(*at.auc.value, (2 * 6 + 0.5 * 6) / 30, 1e-12);
  // Without the run of unknown onset.
  EXPECT_NEAR(*at.ahead.value, (6 + 0.5 * 6) / 24, 1e-12);
  EXPECT_FALSE(at.same_arm.value);
  EXPECT_EQ(p.at[0].begun, 0);
  EXPECT_EQ(p.at[1].begun, 4);
  EXPECT_FALSE(p.signals[index_of("logit_max")].at[1].ahead.value);
}

TEST(Predictors, TheThresholdOfARunIsNotSetByItsOwnGroup) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 6; ++group) runs.push_back(trajectory(group, false, 10, 2 + group));
  const Lead lead = find_predictors(runs).signals[index_of("logit_max")].lead;
  // The most extreme stable run, judged by the others, rings; the others stay below it.
  EXPECT_NEAR(*lead.false_alarms.value, 1.0 / 6, 1e-12);
  EXPECT_EQ(lead.threshold->low, 6);
  EXPECT_EQ(lead.threshold->high, 7);
}

TEST(Predictors, OnlyRunsOfOneSizeAreCompared) {
  // Stable runs of the large size lie above the failing ones of the small size.
  std::vector<Trajectory> runs;
  for (int group = 0; group < 16; ++group) {
    const bool large = group < 8, failed = group % 8 < 2;
    runs.push_back(trajectory(group, failed, 10, (large ? 100 : 1) * (failed ? 5 : 2), 60));
    runs.back().size = large ? "d128" : "d64";
  }
  const Predictors p = find_predictors(runs, {.at = {{0.5, 0}}});
  const SignalResult& logit = p.signals[index_of("logit_max")];
  EXPECT_EQ(*logit.at[0].auc.value, 1);
  EXPECT_EQ(logit.at[0].auc.n, 2 * 2 * 6);
  EXPECT_EQ(*logit.at[0].ahead.value, 1);
  EXPECT_EQ(*logit.lead.alarmed.value, 1);
  EXPECT_EQ(*logit.lead.false_alarms.value, 0);
  EXPECT_EQ(logit.lead.threshold->low, 2);
  EXPECT_EQ(logit.lead.threshold->high, 200);
  // Pooled, the small size's failing runs would lose to the large size's stable ones.
  for (Trajectory& run : runs) run.size = "";
  EXPECT_EQ(*find_predictors(runs, {.at = {{0.5, 0}}}).signals[index_of("logit_max")].at[0].auc.value, 0.75);
}

TEST(Predictors, RunsWithoutAThresholdAreLeftOutOfTheLeadAndCounted) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 8; ++group) {
    runs.push_back(trajectory(group, group == 0, 20, group == 0 ? 5 : 2, 60));
    runs.back().size = "d64";
  }
  for (int group = 8; group < 12; ++group) {
    runs.push_back(trajectory(group, group == 8, 20, 2, 60));
    runs.back().size = "d128";
  }
  Lead lead = find_predictors(runs).signals[index_of("logit_max")].lead;
  EXPECT_EQ(lead.no_threshold, 4);
  EXPECT_EQ(lead.alarmed.n, 1);
  EXPECT_EQ(lead.false_alarms.n, 7);
  runs.erase(runs.begin(), runs.begin() + 8);
  lead = find_predictors(runs).signals[index_of("logit_max")].lead;
  EXPECT_FALSE(lead.threshold);
  EXPECT_NE(lead.alarmed.why.find("a threshold needs 5"), std::string::npos) << lead.alarmed.why;
}

TEST(Predictors, ForcedRunsAreJudgedApartAndSetNoThreshold) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 6; ++group) runs.push_back(trajectory(group, false, 10, 2));
  for (int group = 6; group < 10; ++group) runs.push_back(trajectory(group, true, 20, 5, 60));
  // Stable, but its logits were multiplied: as a natural run it would hide every failure.
  for (int group = 10; group < 16; ++group) {
    runs.push_back(trajectory(group, false, 10, 1000));
    runs.back().forced = true;
  }
  const std::size_t logit = index_of("logit_max");
  const Predictors natural = find_predictors(runs, {.at = {{0.5, 0}}});
  EXPECT_EQ(natural.runs, 10);
  EXPECT_EQ(natural.not_judged, 6);
  EXPECT_EQ(*natural.signals[logit].lead.alarmed.value, 1);
  EXPECT_EQ(natural.signals[logit].lead.threshold->high, 2);
  EXPECT_EQ(*natural.signals[logit].at[0].auc.value, 1);
  const Predictors forced = find_predictors(runs, {.at = {{0.5, 0}}, .forced = true});
  EXPECT_EQ(forced.runs, 6);
  EXPECT_EQ(forced.not_judged, 10);
  EXPECT_EQ(forced.signals[logit].lead.threshold->high, 2);
  EXPECT_EQ(*forced.signals[logit].lead.false_alarms.value, 1);
  EXPECT_FALSE(forced.signals[logit].lead.alarmed.value);
}

TEST(Predictors, MissingRecordsBlock) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 6; ++group) runs.push_back(trajectory(group, group == 0, 10, 2, 50));
  const std::size_t logit = index_of("logit_max"), grad = index_of("grad_norm");
  runs[3].signals[logit] = {};
  runs[2].signals[grad].steps.erase(runs[2].signals[grad].steps.begin(),
                                    runs[2].signals[grad].steps.begin() + 30);
  runs[2].signals[grad].values.erase(runs[2].signals[grad].values.begin(),
                                     runs[2].signals[grad].values.begin() + 30);
  const Predictors p = find_predictors(runs, {.at = {{0.25, 0}, {0, 101}}});
  EXPECT_EQ(p.signals[logit].at[0].auc.why, "1 of 6 runs did not record it");
  EXPECT_EQ(p.signals[logit].lead.alarmed.why, "1 of 6 runs did not record it");
  EXPECT_EQ(p.signals[grad].at[0].auc.why, "1 of 6 runs have no record by then");
  EXPECT_EQ(p.signals[index_of("loss")].at[1].auc.why, "6 of 6 runs are shorter");
  EXPECT_TRUE(p.signals[index_of("loss")].at[0].auc.value);
  EXPECT_FALSE(p.bound.min_slack);
  EXPECT_FALSE(p.bound.why.empty());
}

TEST(Predictors, WhatIsNotFiniteIsTheMostDangerous) {
  std::vector<Trajectory> runs;
  for (int group = 0; group < 6; ++group) runs.push_back(trajectory(group, false, 1, 1e9));
  runs.push_back(trajectory(6, true, 5, NAN, 5));
  runs.back().nonfinite_step = 5;
  const Predictors p = find_predictors(runs);
  EXPECT_EQ(*p.signals[index_of("entropy_layer")].at[0].auc.value, 1);
  EXPECT_EQ(*p.signals[index_of("logit_max")].at[0].auc.value, 1);
  EXPECT_EQ(p.at[0].nonfinite, 1);
  // The record of the non-finite step itself comes too late.
  EXPECT_EQ(*p.signals[index_of("logit_max")].lead.alarmed.value, 0);
  EXPECT_EQ(p.signals[index_of("logit_max")].lead.late, 1);
}

TEST(Predictors, Horizons) {
  EXPECT_EQ(parse_horizon("10%").step_of(30), 3);
  EXPECT_EQ(parse_horizon("1%").step_of(30), 1);
  EXPECT_EQ(parse_horizon("40").step_of(30), 40);
  for (const char* wrong : {"", "%", "0", "-1", "1.5", "101%", "ten", "5 %", "nan"})
    EXPECT_THROW(parse_horizon(wrong), InputError) << wrong;
}

TEST(Predictors, ASweepFromItsFolder) {
  const test::TempFolder folder;
  test::FixtureSweep(folder.path() / "deep" / "sweep", {.sizes = {"d64", "d128"}}).write();
  const PredictorRuns runs = load_trajectories({folder.path()});
  const Predictors p = find_predictors(runs.runs);
  // Without qk-norm 0.3 degrades and 1 is lost, at both sizes, for both seeds.
  EXPECT_EQ(p.runs, 32);
  EXPECT_EQ(p.failed, 8);
  EXPECT_EQ(p.groups, 16);
  EXPECT_TRUE(runs.left_out.empty());
  const SignalResult& logit = p.signals[index_of("logit_max")];
  // The four lost runs ring about 70 steps ahead; degraded ones lie above their sibling before they ring.
  EXPECT_EQ(*logit.lead.alarmed.value, 0.5);
  EXPECT_EQ(8 * *logit.lead.alarmed.value + static_cast<double>(logit.lead.late), 8);
  EXPECT_NEAR(*logit.lead.steps.value, 70, 15);
  EXPECT_GT(*logit.at[3].auc.value, 0.99);
  EXPECT_FALSE(p.signals[index_of("grad_norm")].at[0].auc.value);
  const Json document = predictors_json(p, runs);
  EXPECT_EQ(document.at("signals").size(), signals().size());
  EXPECT_EQ(document.at("judged"), "natural");
  EXPECT_EQ(document.at("not_judged"), 0);
  // A folder given twice counts once.
  const PredictorRuns twice = load_trajectories({folder.path(), folder.path() / "deep"});
  EXPECT_EQ(twice.runs.size(), 32u);
  ASSERT_EQ(twice.left_out.size(), 1u);
  EXPECT_EQ(twice.left_out[0].runs, 32);
}

TEST(Predictors, AChangeInMidTrainingForcesARun) {
  const test::TempFolder folder;
  test::FixtureSweep(folder / "never", {.change_at = "100%"}).write();
  test::FixtureSweep(folder / "changed", {.change_at = "20step"}).write();
  const PredictorRuns runs = load_trajectories({folder.path()});
  EXPECT_EQ(runs.runs.size(), 32u);
  for (const Trajectory& run : runs.runs)
    EXPECT_EQ(run.forced, run.run.find("changed") != std::string::npos) << run.run;
  const Json document = predictors_json(find_predictors(runs.runs), runs);
  EXPECT_EQ(document.at("runs"), 16);
  EXPECT_EQ(document.at("not_judged"), 16);
}

TEST(Predictors, RunsWithoutOutcomeAreLeftOutAndCounted) {
  const test::TempFolder folder;
  test::FixtureSweep(folder.path(), {.leave_one_out = true}).write();
  const PredictorRuns runs = load_trajectories({folder.path()});
  EXPECT_EQ(runs.runs.size(), 8u);
  int left_out = 0;
  for (const auto& [why, n] : runs.left_out) left_out += n;
  EXPECT_EQ(left_out, 8);
  // A single run has no siblings.
  const PredictorRuns one = load_trajectories({fs::path(runs.runs.front().run)});
  EXPECT_TRUE(one.runs.empty());
  EXPECT_EQ(one.left_out[0].why, "no siblings at another learning rate");
}

TEST(Predictors, SharpnessIsCorrelatedWithSignals) {
  std::vector<Trajectory> runs;
  std::vector<SharpnessPoint> points{{"/elsewhere", 5, 1, 1}};
  for (int group = 0; group < 12; ++group) {
    runs.push_back(trajectory(group, group > 8, 1, 2 + group, 50));
    points.push_back({runs.back().run, 40, 1.0 * group * group, NAN});
  }
  const Predictors p = find_predictors(runs, {}, points);
  EXPECT_EQ(p.sharpness_points, 12);
  EXPECT_EQ(p.sharpness_unmatched, 1);
  EXPECT_NEAR(*p.sharpness[index_of("logit_max")].eigenvalue.value, 1, 1e-12);
  EXPECT_NEAR(*p.sharpness[index_of("entropy_layer")].eigenvalue.value, -1, 1e-12);
  EXPECT_FALSE(p.sharpness[index_of("logit_max")].ratio.value);
}

TEST(Predictors, ReadsProbeAnswers) {
  const test::TempFolder folder;
  const Json entry{
      {"run", "/runs/a"}, {"step", 3}, {"sharpness", {{"eigenvalue", 2.5}, {"ratio", INFINITY}}}};
  write_json(folder.path() / "one.json", entry);
  write_json(folder.path() / "two.json", Json::array({entry, entry}));
  write_json(folder.path() / "bad.json", {{"run", "/runs/a"}});
  const auto one = read_sharpness(folder.path() / "one.json");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].run, "/runs/a");
  EXPECT_EQ(one[0].eigenvalue, 2.5);
  EXPECT_TRUE(std::isinf(one[0].ratio));
  EXPECT_EQ(read_sharpness(folder.path() / "two.json").size(), 2u);
  EXPECT_THROW(read_sharpness(folder.path() / "bad.json"), InputError);
}

}  // namespace
}  // namespace evenkeel::analysis
