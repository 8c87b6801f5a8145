#include "evenkeel/spec/arm.h"

#include <gtest/gtest.h>

#include "evenkeel/spec/experiment.h"

namespace evenkeel {
namespace {

Json config(const Settings& settings) {
  Experiment e = experiment_from(settings);
  resolve(e, {DataKind::kSynthetic, 256, "0123"}, false);
  return to_json(e);
}

Json config(const std::string& toml) {
  return config(settings_from_toml_text(toml, "a.toml"));
}

TEST(Arm, IsNamedByWhatIsNeitherSizeNorLearningRateNorSeed) {
  const Json c = config("arch.size = \"d64\"\ninterventions.qk_norm = \"per_head\"\noptim.beta2 = 0.99");
  EXPECT_EQ(arm_name(c, {"optim.lr", "interventions.qk_norm", "train.seed", "arch.size", "optim.beta2"}),
            "beta2=0.99,qk_norm=per_head");
  EXPECT_EQ(arm_name(c, {"optim.lr", "arch.ladder", "arch.width", "arch.depth", "arch.heads", "arch.size"}),
            "baseline");
}

TEST(Arm, KeysThatTwoPathsShareAreWrittenInFull) {
  const Json c = config("data.vocab = 512");
  EXPECT_EQ(arm_name(c, {"data.vocab", "data.synthetic.vocab", "data.synthetic.seed", "train.seed"}),
            "data.synthetic.vocab=128,data.vocab=512,seed=1");
}

TEST(Arm, TheFeedForwardWidthIsSizeOnlyWhereItIsFourTimesTheWidth) {
  EXPECT_EQ(arm_name(config("arch.size = \"d64\""), {"arch.ffn_width"}), "baseline");
  EXPECT_EQ(arm_name(config("arch.size = \"d32\""), {"arch.ffn_width"}), "baseline");
  EXPECT_EQ(arm_name(config("arch.size = \"d64\"\narch.ffn_width = 512"), {"arch.ffn_width"}),
            "ffn_width=512");
}

TEST(Arm, SettingsThatDecideNothingDoNotTellConfigsApart) {
  const std::vector<Json> configs{config("data.path = \"a\"\noptim.lr = 0.1"),
                                  config("data.path = \"b\"\noptim.lr = 0.3")};
  EXPECT_EQ(differing_settings({&configs[0], &configs[1]}), std::vector<std::string>{"optim.lr"});
  EXPECT_TRUE(differing_settings({}).empty());
}

TEST(Arm, CountsSettingsThatAreNotTheFamilysDefaults) {
  const std::vector<std::string> paths{"interventions.qk_norm", "arch.residual", "optim.lr", "train.seed"};
  EXPECT_EQ(changed_settings(config(""), paths), 0);
  EXPECT_EQ(changed_settings(config("optim.lr = 0.5\ntrain.seed = 9"), paths), 0);  // no part of an arm
  // "none" is no norm at all, not the absence of a treatment.
  EXPECT_EQ(changed_settings(config("arch.residual = \"none\""), paths), 1);
  EXPECT_EQ(changed_settings(config("arch.residual = \"none\"\ninterventions.qk_norm = \"per_head\""), paths),
            2);
  // The z-loss is on by default: without it is a change.
  EXPECT_EQ(changed_settings(config("interventions.z_loss = 0"), {"interventions.z_loss"}), 1);
}

TEST(Arm, AFamilyHasDefaultsOfItsOwn) {
  Experiment e = experiment_from(settings_from_toml_text("arch.family = \"seq2seq\"", "a.toml"));
  resolve(e, {DataKind::kSyntheticPairs, 256, "0123"}, false);
  EXPECT_EQ(changed_settings(to_json(e), {"arch.residual", "interventions.z_loss"}), 0);
}

}  // namespace
}  // namespace evenkeel
