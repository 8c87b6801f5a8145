#include "evenkeel/spec/sweep.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"

namespace evenkeel {
namespace {

std::vector<double> values(const Json& value) {
  std::vector<double> out;
  for (const Json& item : axis_values("optim.lr", {value, "s.toml:3"})) out.push_back(item.get<double>());
  return out;
}

std::string error_of(const Json& value) {
  try {
    axis_values("optim.lr", {value, "s.toml:3"});
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

SweepSpec sweep(const std::string& toml, const Settings& overrides = {}) {
  return sweep_from(settings_from_toml_text(toml, "s.toml", {"sweep"}), overrides);
}

TEST(AxisValues, ListsLogAndTheOneThreeSeries) {
  EXPECT_EQ(values(Json{0.3, 0.1}), (std::vector<double>{0.3, 0.1}));
  EXPECT_EQ(values(0.5), (std::vector<double>{0.5}));
  EXPECT_EQ(values("log(1e-3, 1, 4)"), (std::vector<double>{0.001, 0.01, 0.1, 1}));
  EXPECT_EQ(values("log(0.1,0.4,3)"), (std::vector<double>{0.1, 0.2, 0.4}));
  EXPECT_EQ(values("series(3e-2, 1)"), (std::vector<double>{0.03, 0.1, 0.3, 1}));
  EXPECT_EQ(values("series(3e-4, 3e-1)"), (std::vector<double>{3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1}));
  EXPECT_EQ(values("series(0.05, 0.5)"), (std::vector<double>{0.1, 0.3}));
  EXPECT_EQ(values("series(10, 10)"), (std::vector<double>{10}));
}

TEST(AxisValues, WhatIsNoAxisIsNamedWithItsLine) {
  for (const Json& bad :
       {Json::array(), Json("log(1, 0.1, 3)"), Json("log(0, 1, 3)"), Json("log(1, 10, 1)"),
        Json("log(1, 10, 2.5)"), Json("series(1, 0.1)"), Json("series(-1, 1)"), Json("series(1, 2) x"),
        Json("lin(1, 2, 3)"), Json("series(0.4, 0.6)"), Json::object()}) {
    EXPECT_NE(error_of(bad).find("[sweep] \"optim.lr\" must be a non-empty list"), std::string::npos) << bad;
    EXPECT_NE(error_of(bad).find("(s.toml:3)"), std::string::npos) << bad;
  }
  EXPECT_NE(error_of(Json{0.1, 0.3, 0.1}).find("lists 0.1 twice (s.toml:3)"), std::string::npos);
  EXPECT_NE(error_of(Json{1, 1.0}).find("twice"), std::string::npos);
}

TEST(SweepSpec, SplitsWordsBaseAndAxes) {
  const SweepSpec s = sweep(
      "[study]\ntitle = \"t\"\n[optim]\nwarmup = \"40step\"\n[sweep]\n\"optim.lr\" = \"series(0.1, 1)\"\n"
      "\"interventions.qk_norm\" = [\"off\", \"per_head\"]\n");
  EXPECT_EQ(s.study.title, "t");
  EXPECT_EQ(s.base.size(), 1u);
  ASSERT_EQ(s.axes.size(), 2u);
  EXPECT_EQ(s.axes[0].name, "interventions.qk_norm");
  EXPECT_EQ(s.axes[1].points.size(), 3u);
}

TEST(SweepSpec, FieldsMoveTogether) {
  const SweepSpec s = sweep("[sweep]\n\"train.batch, train.steps\" = [[8, 800], [16, 400]]\n");
  ASSERT_EQ(s.axes.size(), 1u);
  EXPECT_EQ(s.axes[0].paths, (std::vector<std::string>{"train.batch", "train.steps"}));
  ASSERT_EQ(s.axes[0].points.size(), 2u);
  EXPECT_EQ(s.axes[0].points[1].settings.at("train.steps"), 400);
  const Axis again = axis_from(s.axes[0].name, {to_json(s.axes[0]), "sweep.json"});
  EXPECT_EQ(to_json(again), to_json(s.axes[0]));
  for (const char* bad : {"[[8, 800], [16]]", "[8, 16]", "[]", "[[8, 800], [8, 800]]", "[[8, -1]]"})
    EXPECT_THROW(sweep(std::string("[sweep]\n\"train.batch, train.steps\" = ") + bad + "\n"), InputError)
        << bad;
  EXPECT_THROW(sweep("[sweep]\n\"train.batch, train.batch\" = [[8, 8]]\n"), InputError);
  EXPECT_THROW(sweep("[sweep]\n\"train.batch, \" = [[8, 8]]\n"), InputError);
  EXPECT_THROW(sweep("[sweep]\n\"train.batch, train.steps\" = [[8, 80]]\n\"train.steps\" = [80, 90]\n"),
               InputError);
}

TEST(SweepSpec, ArmsHaveNames) {
  const std::string toml =
      "[optim]\nwarmup = \"40step\"\n[sweep]\n\"optim.lr\" = [0.1, 0.3]\n[sweep.arms]\nplain = {}\n"
      "calm = { \"interventions.qk_norm\" = \"per_head\" }\n"
      "calmer = { interventions.qk_norm = \"per_head\", optim.warmup = \"80step\" }\n";
  const SweepSpec s = sweep(toml);
  ASSERT_EQ(s.axes.size(), 2u);
  const Axis& arms = s.axes[0];
  EXPECT_EQ(arms.name, kArmsAxis);
  EXPECT_EQ(arms.paths, (std::vector<std::string>{"interventions.qk_norm", "optim.warmup"}));
  EXPECT_EQ(to_json(axis_from(kArmsAxis, {to_json(arms), "sweep.json"})), to_json(arms));
  const auto config = [&](const std::string& qk_norm, const std::string& warmup) {
    const Settings settings{{"interventions.qk_norm", {qk_norm, "t"}}, {"optim.warmup", {warmup, "t"}}};
    return to_json(experiment_from(settings));
  };
  EXPECT_EQ(arm_name(config("off", "40step"), s.axes, "plain"), "plain");
  // A name in sweep.json is believed where its settings hold.
  EXPECT_TRUE(fits("plain", config("off", "40step"), s.axes));
  EXPECT_TRUE(fits("calm", config("per_head", "40step"), s.axes));
  EXPECT_FALSE(fits("calm", config("off", "40step"), s.axes));
  EXPECT_TRUE(fits("calmer", config("per_head", "80step"), s.axes));
  EXPECT_FALSE(fits("calmer", config("per_head", "40step"), s.axes));
  EXPECT_FALSE(fits("other", config("off", "40step"), s.axes));
  EXPECT_THROW(sweep("[sweep.arms]\nplain = {}\nother = {}\n"), InputError);
  EXPECT_THROW(sweep("[sweep.arms]\nplain = 3\n"), InputError);
  EXPECT_THROW(sweep("[sweep.arms]\n\"a=b\" = {}\n"), InputError);
  EXPECT_THROW(sweep("[sweep.arms]\nplain = { optim.lrr = 1 }\n"), InputError);
  // A bundle changes what the study fixes for all, but not what the command line does.
  EXPECT_THROW(sweep(toml, {parse_assignment("optim.warmup=20step")}), InputError);
}

TEST(SweepSpec, OverridesReplaceAxesAndSweptFields) {
  const std::string toml = "[sweep]\n\"optim.lr\" = [0.1, 0.3]\n\"train.seed\" = [1, 2]\n";
  const SweepSpec fixed = sweep(toml, {parse_assignment("optim.lr=1")});
  ASSERT_EQ(fixed.axes.size(), 1u);
  EXPECT_EQ(fixed.base.at("optim.lr").value, 1);
  const SweepSpec wider = sweep(toml, {parse_assignment("sweep.optim.lr=[1, 3, 10]")});
  EXPECT_EQ(wider.axes.at(0).points.size(), 3u);
}

TEST(SweepSpec, MistakesAreFoundBeforeAnythingRuns) {
  EXPECT_THROW(sweep("[sweep]\n\"optim.lrr\" = [1]\n"), InputError);
  EXPECT_THROW(sweep("[sweep]\n\"optim.lr\" = [0.1, -1]\n"), InputError);
  EXPECT_THROW(sweep("[study]\ntitel = \"t\"\n"), InputError);
  EXPECT_THROW(sweep("[optim]\nlr = 0.1\n[sweep]\n\"optim.lr\" = [1]\n"), InputError);
  EXPECT_THROW(sweep("[optim]\nlrr = 0.1\n"), InputError);
}

TEST(SweepSpec, AnAxisGivenOnTheCommandLineReplacesAFixedValueOfTheFile) {
  const Settings axis{{"sweep.optim.lr", {Json{0.1, 0.3}, "--set"}}};
  const SweepSpec s = sweep("[optim]\nlr = 0.03\n", axis);
  EXPECT_EQ(s.base.count("optim.lr"), 0u);
  ASSERT_EQ(s.axes.size(), 1u);
  EXPECT_EQ(s.axes[0].points.size(), 2u);
  Settings both = axis;
  both["optim.lr"] = {0.03, "--set"};
  EXPECT_THROW(sweep("", both), InputError);
}

}  // namespace
}  // namespace evenkeel
