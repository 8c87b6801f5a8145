#include "evenkeel/probes/coordinates.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

Subject subject_with(const std::function<void(Experiment&)>& change) {
  Subject subject;
  subject.experiment = test::small_experiment(32, 2, 2, 16, 64);
  Experiment& e = subject.experiment;
  e.data.synthetic.vocab = 64;
  e.data.valid_tokens = 256;
  e.train.batch = 8;
  e.optim.weight_decay = 0;
  e.optim.lr = 0.003;
  change(e);
  return subject;
}

Json quantity(const Json& answer, const std::string& name) {
  for (const Json& one : answer.at("quantities"))
    if (one.at("quantity") == name) return one;
  return {};
}

double last_slope(const Json& answer, const std::string& name) {
  return quantity(answer, name).at("steps").back().at("slope");
}

struct RuleCase {
  OptimiserKind kind;
  double lr;
  bool all_steady;  ///< under muParam in full: nothing grows; else the output logits alone do not
};

// Under the standard parametrisation an update that has the sign of its gradient moves logits in proportion
// to the width (AdamW, and Muon's head, which AdamW updates), and so does plain SGD, whose step has the size
// of the features. muParam in full takes that away (Wortsman et al. 2023, section 3.2.4). Under Muon, whose
// own steps shrink with the width, one growth is left to be seen: the embedding starts at 1 / sqrt(D) and
// keeps its rate, so that what the first block reads changes like sqrt(D).
// Rates are small, so that steps change the model little: at larger ones logits of wide models are through
// growing.
TEST(Coordinates, StandardGrowsAndMuParamDoesNot) {
  const Probe probe = coordinates_probe();
  Options options;
  options.widths = {32, 64, 256};
  options.steps = 1;
  options.seeds = 5;
  for (const RuleCase& c :
       {RuleCase{OptimiserKind::kAdamW, 1e-4, true}, RuleCase{OptimiserKind::kSgd, 0.003, true},
        RuleCase{OptimiserKind::kMuon, 1e-4, false}}) {
    const auto answer = [&](MuParam mu) {
      return probe.measure(subject_with([&](Experiment& e) {
                             e.arch.context = 32;
                             e.data.vocab = e.data.synthetic.vocab = 128;
                             e.data.valid_tokens = 512;
                             e.optim.algorithm = c.kind;
                             e.optim.lr = c.lr;
                             e.optim.clip_norm = 0;
                             e.interventions.mu_param = mu;
                             e.interventions.mu.base_width = 32;
                           }),
                           options);
    };
    const Json standard = answer(MuParam::kOff), full = answer(MuParam::kFull);
    SCOPED_TRACE(enum_name(c.kind));
    EXPECT_EQ(quantity(standard, "logits/out").at("verdict"), "grows") << quantity(standard, "logits/out");
    // The theory of wide models says 1; these begin at 32.
    if (c.kind == OptimiserKind::kAdamW) {
      EXPECT_NEAR(last_slope(standard, "logits/out"), 1, 0.3);
    }
    EXPECT_NE(quantity(full, "logits/out").at("verdict"), "grows") << quantity(full, "logits/out");
    if (!c.all_steady) continue;
    for (const Json& one : full.at("quantities")) EXPECT_NE(one.at("verdict"), "grows") << one;
  }
}

TEST(Coordinates, UpdatesFollowTheRule) {
  // AdamW's update has one size whatever the gradient's; muParam divides that of matrices by the width.
  const Probe probe = coordinates_probe();
  Options options;
  options.widths = {32, 64, 128};
  options.steps = 1;
  options.seeds = 2;
  const auto slope = [&](MuParam mu, const char* name) {
    return last_slope(
        probe.measure(subject_with([&](Experiment& e) { e.interventions.mu_param = mu; }), options), name);
  };
  EXPECT_NEAR(slope(MuParam::kOff, "update/blocks.0.mlp.fc1.weight"), 0, 0.02);
  EXPECT_NEAR(slope(MuParam::kSimple, "update/blocks.0.mlp.fc1.weight"), -1, 0.02);
  EXPECT_NEAR(slope(MuParam::kSimple, "update/embed.weight"), 0, 0.02);
}

TEST(Coordinates, AWidthKeepsHeadsAndProportions) {
  const Experiment e = at_width(test::small_experiment(32, 2, 2), 96);
  EXPECT_EQ(e.arch.H(), 6);
  EXPECT_EQ(e.arch.K(), 16);
  EXPECT_EQ(e.arch.F(), 4 * 96);
  EXPECT_EQ(e.arch.size, "d96L2h6");
  EXPECT_THROW(at_width(test::small_experiment(32, 2, 2), 40), InputError);
}

TEST(Coordinates, OneSeedConcludesNothing) {
  const Probe probe = coordinates_probe();
  Options options;
  options.widths = {32, 64};
  options.steps = 2;
  options.seeds = 1;
  Json answer{{"coordinates", probe.measure(subject_with([](Experiment&) {}), options)},
              {"optimiser", "adamw"}};
  EXPECT_EQ(quantity(answer.at("coordinates"), "logits/out").at("verdict"), "open");
  EXPECT_NE(probe.describe({answer}).notes.at(0).find("nothing is concluded"), std::string::npos);
  options.steps = 21;
  EXPECT_THROW(probe.measure(subject_with([](Experiment&) {}), options), InputError);
}

}  // namespace
}  // namespace evenkeel::probes
