#include "evenkeel/sweep/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "evenkeel/base/error.h"
#include "tests/unit/sweep/sample_plan.h"

namespace evenkeel::sweep {
namespace {

using test::sample_plan;
using test::sample_spec;

std::string message_of(const std::string& toml) {
  try {
    sample_plan(toml);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Plan, IsTheCrossProductOfItsAxesWithResolvedCells) {
  const Plan plan = sample_plan(R"([sweep]
"optim.lr" = [0.1, 0.3, 1.0]
"interventions.qk_norm" = ["off", "per_head"]
"train.seed" = [1, 2])");
  ASSERT_EQ(plan.cells.size(), 12u);
  std::set<std::string> hashes, points;
  for (const Cell& cell : plan.cells) {
    const Experiment& e = cell.experiment;
    hashes.insert(cell.hash);
    points.insert(cell.arm + " " + std::to_string(e.optim.lr) + " " + std::to_string(e.train.seed));
    EXPECT_EQ(cell.hash, config_hash(e));
    EXPECT_EQ(e.arch.D(), 64);
    EXPECT_TRUE(e.optim.weight_decay.has_value());
    EXPECT_EQ(e.data.fingerprint, "0123");
    EXPECT_EQ(cell.data.h1, 4.5);
  }
  EXPECT_EQ(hashes.size(), 12u);
  EXPECT_EQ(points.size(), 12u);
}

TEST(Plan, RunsWholeCurvesOfTheFirstSeedFirst) {
  const Plan plan = sample_plan(R"([sweep]
"train.seed" = [5, 6]
"optim.lr" = [0.1, 0.3]
"interventions.qk_norm" = ["off", "per_head"])");
  std::vector<std::tuple<std::int64_t, std::string, double>> order;
  for (const Cell& cell : plan.cells) {
    order.emplace_back(cell.experiment.train.seed, cell.arm, cell.experiment.optim.lr);
  }
  EXPECT_EQ(order[0], std::make_tuple(5, "qk_norm=off", 0.1));
  EXPECT_EQ(order[1], std::make_tuple(5, "qk_norm=off", 0.3));
  EXPECT_EQ(order[2], std::make_tuple(5, "qk_norm=per_head", 0.1));
  EXPECT_EQ(order[4], std::make_tuple(6, "qk_norm=off", 0.1));
}

TEST(Plan, NamesArmsByWhatIsSweptExceptSizeLrAndSeed) {
  const Plan plan = sample_plan(R"([sweep]
"interventions.z_loss" = [0.0, 1e-4]
"arch.size" = ["d32", "d64"]
"optim.beta2" = [0.95]
"optim.lr" = [0.1])");
  std::set<std::string> arms;
  for (const Cell& cell : plan.cells) arms.insert(cell.arm);
  EXPECT_EQ(arms, (std::set<std::string>{"beta2=0.95,z_loss=0.0", "beta2=0.95,z_loss=0.0001"}));
}

TEST(Plan, WithNothingSweptTheArmIsItsInterventionsOrBaseline) {
  EXPECT_EQ(sample_plan("").cells.at(0).arm, "baseline");
  EXPECT_EQ(sample_plan("[sweep]\n\"optim.lr\" = [0.1, 0.2]").cells.at(1).arm, "baseline");
  EXPECT_EQ(sample_plan("interventions.qk_norm = \"per_head\"").cells.at(0).arm, "qk_norm=per_head");
}

TEST(Plan, TheFeedForwardWidthNamesAnArmWhereItDoesNotFollowFromTheSize) {
  const Plan plan =
      sample_plan("[sweep]\n\"arch.ffn_width\" = [\"auto\", 512]\n\"arch.size\" = [\"d32\", \"d64\"]");
  std::set<std::string> arms;
  for (const Cell& cell : plan.cells) arms.insert(cell.arm);
  EXPECT_EQ(arms, (std::set<std::string>{"baseline", "ffn_width=512"}));
}

TEST(Plan, AmbiguousKeysAreWrittenInFull) {
  const Plan plan = sample_plan(R"([sweep]
"data.synthetic.seed" = [1, 2]
"data.synthetic.vocab" = [256]
"data.vocab" = [512])");
  EXPECT_EQ(plan.cells.at(0).arm, "data.synthetic.vocab=256,data.vocab=512,seed=1");
}

TEST(Plan, OpensEachDataOnce) {
  int opened = 0;
  const auto open = [&](const DataSpec& spec, std::int64_t context) {
    ++opened;
    return test::sample_data(spec, context);
  };
  make_plan(sample_spec("[sweep]\n\"optim.lr\" = [0.1, 0.2, 0.3]\n\"arch.context\" = [64, 128]"), open,
            false);
  EXPECT_EQ(opened, 2);
}

TEST(Plan, TwoPointsThatAreTheSameConfigurationAreAnError) {
  const std::string message = message_of("[sweep]\n\"arch.ffn_width\" = [256, \"auto\"]");
  EXPECT_NE(message.find("arch.ffn_width=256"), std::string::npos) << message;
  EXPECT_NE(message.find("arch.ffn_width=auto"), std::string::npos) << message;
}

TEST(Plan, ContradictionsOnOneAxisPointNameTheirOrigin) {
  const std::string message = message_of("[arch]\nsize = \"d64\"\n[sweep]\n\"arch.width\" = [64, 96]");
  EXPECT_NE(message.find("arch.width"), std::string::npos) << message;
  EXPECT_NE(message.find("sample.toml:4"), std::string::npos) << message;
}

TEST(Plan, CountsTrainingOperations) {
  // One step of 2 sequences of 16 tokens through D = 32, L = 2 and a head of 256 ids, by hand:
  // 32 tokens * (6 * (2 * 12 * 32^2 + 32 * 256) + 6 * 2 * 16 * 32).
  const Plan plan =
      sample_plan("[arch]\nsize = \"d32\"\ncontext = 16\n[train]\nsteps = 1\nbatch = 2\n[optim]\nwarmup = 1");
  EXPECT_EQ(train_flops(plan.cells.at(0).experiment), 32.0 * (6 * (24576 + 8192) + 6144));
}

}  // namespace
}  // namespace evenkeel::sweep
