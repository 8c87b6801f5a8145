// What changes rates: mu_param, rms_scaled_lr, freeze, and how optimisers heed the factors of a parameter.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"

namespace evenkeel::interventions {
namespace {

constexpr OptimiserKind kAlgorithms[] = {
    OptimiserKind::kAdamW, OptimiserKind::kAdam,      OptimiserKind::kRAdam,
    OptimiserKind::kSgd,   OptimiserKind::kLars,      OptimiserKind::kAdagrad,
    OptimiserKind::kLamb,  OptimiserKind::kAdamAtan2, OptimiserKind::kStableAdamW};

OptimSpec spec_for(OptimiserKind algorithm, double decay = 0) {
  OptimSpec spec;
  spec.algorithm = algorithm;
  spec.lr = 0.05;
  spec.weight_decay = decay;
  spec.decay_form = DecayForm::kIndependent;
  return spec;
}

/// What `steps` updates subtract from a parameter with these factors.
at::Tensor change_of(OptimiserKind algorithm, double rate, double decay, double lambda, int steps) {
  nn::Param param = test::make_param(test::random_normal({7, 5}, 1, at::kFloat));
  param.rate = rate;
  param.decay = decay;
  const at::Tensor before = param.value.detach().clone();
  const auto optimiser = optim::make_optimiser({&param}, spec_for(algorithm, lambda));
  for (int t = 1; t <= steps; ++t) {
    // Without decay the state does not depend on the parameter, so a factor of the rate is one of the whole
    // change.
    param.value.mutable_grad() = test::random_normal({7, 5}, static_cast<std::uint64_t>(10 + t), at::kFloat);
    optimiser->step(0.05);
  }
  return before.sub(param.value.detach());
}

TEST(Rates, EveryOptimiserHeedsTheFactorOfTheRate) {
  for (const OptimiserKind algorithm : kAlgorithms) {
    // Trust ratios follow the parameter, so one update of it; the first that RAdam makes is the
    // sixth.
    const bool by_size = algorithm == OptimiserKind::kLars || algorithm == OptimiserKind::kLamb;
    const int steps = by_size ? 1 : 8;
    const at::Tensor whole = change_of(algorithm, 1, 1, 0, steps),
                     quarter = change_of(algorithm, 0.25, 1, 0, steps);
    ASSERT_GT(whole.abs().max().item<double>(), 0) << enum_name(algorithm);
    // fp32 sums of weights of order one: 1e-6 beside changes of 0.1.
    EXPECT_LT((whole * 0.25 - quarter).abs().max().item<double>(), 2e-6) << enum_name(algorithm);
  }
}

// A gradient of zero leaves decay alone; where decay is part of the gradient the factor stands in it.
TEST(Rates, DecayHasAFactorOfItsOwn) {
  // Where decay stands apart no factor of the rate touches it.
  for (const OptimiserKind algorithm :
       {OptimiserKind::kRAdam, OptimiserKind::kAdamAtan2, OptimiserKind::kStableAdamW}) {
    nn::Param param = test::make_param(at::ones({4}, at::kFloat));
    param.rate = 0.01;
    param.decay = 0.5;
    optim::make_optimiser({&param}, spec_for(algorithm, 0.1))->step(0.05);
    EXPECT_NEAR(param.value[0].item<double>(), 1 - 0.05 * 0.1 * 0.5, 1e-6) << enum_name(algorithm);
  }
  for (const auto& [decay, expected] : {std::pair{1.0, 0.1}, {0.5, 0.05}, {0.0, 0.0}}) {
    nn::Param param = test::make_param(at::ones({4}, at::kFloat));
    param.rate = 0.01;
    param.decay = decay;
    const auto adamw = optim::make_optimiser({&param}, spec_for(OptimiserKind::kAdamW, 0.1));
    adamw->step(0.05);
    EXPECT_NEAR(param.value[0].item<double>(), 1 - expected, 1e-6);
  }
  nn::Param param = test::make_param(at::ones({4}, at::kFloat));
  param.decay = 0.5;
  OptimSpec sgd = spec_for(OptimiserKind::kSgd, 0.1);
  optim::make_optimiser({&param}, sgd)->step(0.05);
  EXPECT_NEAR(param.value[0].item<double>(), 1 - 0.05 * 0.1 * 0.5, 1e-7);
}

TEST(RmsScaledLr, StepsAreInProportionToWhatTheyChange) {
  for (const auto& [size, factor] : {std::pair{2.0, 2.0}, {0.25, 0.25}, {0.0, 1e-3}, {1e-5, 1e-3}}) {
    nn::Param param = test::make_param(at::full({6}, size, at::kFloat));
    param.follows_rms = true;
    const auto optimiser = optim::make_optimiser({&param}, spec_for(OptimiserKind::kAdamW));
    param.value.mutable_grad() = at::ones({6}, at::kFloat);
    std::vector<optim::UpdateStats> stats;
    optimiser->step(0.05, &stats);  // Delta = 1 in the first update
    EXPECT_NEAR(stats.at(0).update_rms / (0.05 * factor), 1, 1e-6) << size;
    EXPECT_NEAR(stats.at(0).delta_rms, 1, 1e-6);
  }
  Experiment e = test::small_experiment();
  e.interventions.rms_scaled_lr = true;
  const auto model = train::build_model(e);
  for (const nn::Param* p : model->parameters()) EXPECT_TRUE(p->follows_rms) << p->name;
}

std::map<std::string, nn::Param> facts(models::Model& model) {
  std::map<std::string, nn::Param> all;
  for (const nn::Param* p : model.parameters()) all[p->name] = *p;
  return all;
}

// Width 1024 at base width 256: a quarter of the rate, half of the head's deviation.
TEST(MuParam, FactorsOfTheThreeForms) {
  for (const MuParam form : {MuParam::kOff, MuParam::kSimple, MuParam::kIntermediate, MuParam::kFull})
    for (const bool with_rate : {false, true}) {
      Experiment e = test::small_experiment(1024, 1, 16);
      e.interventions.mu_param = form;
      e.interventions.mu = {256, with_rate};
      const auto model = train::build_model(e);
      const auto all = facts(*model);
      const double rate = form == MuParam::kOff ? 1 : 0.25;
      for (const auto& [name, p] : all) {
        const bool scaled = p.is_matrix() && name != "embed.weight";
        EXPECT_EQ(p.rate, scaled ? rate : 1) << name;
        EXPECT_EQ(p.decay, scaled && with_rate ? rate : 1) << name;
      }
      const bool small_head = form == MuParam::kIntermediate || form == MuParam::kFull;
      EXPECT_NEAR(all.at("head.weight").init_std, small_head ? 0.015625 : 0.03125, 1e-12);
      const double queries = all.at("blocks.0.attn.q.weight").value.abs().max().item<double>();
      EXPECT_EQ(queries == 0, form == MuParam::kFull);
      nn::for_each_attention(*model, [&](nn::Attention& attention) {
        EXPECT_EQ(attention.score({}).scale, form == MuParam::kFull ? 1.0 / 64 : 1.0 / 8);
      });
    }
}

// At the base width the simple and the intermediate form are no treatment at all, to the bit.
TEST(MuParam, ChangesNothingAtTheBaseWidth) {
  Experiment e = test::small_experiment();
  const auto off = train::build_model(e);
  const at::Tensor inputs = test::random_batch(e, 2, 1).first;
  for (const MuParam form : {MuParam::kSimple, MuParam::kIntermediate}) {
    e.interventions.mu_param = form;
    e.interventions.mu.base_width = 32;
    const auto model = train::build_model(e);
    EXPECT_TRUE(model->forward(inputs, {}).detach().equal(off->forward(inputs, {}).detach()));
    for (const nn::Param* p : model->parameters()) EXPECT_EQ(p->rate, 1) << p->name;
  }
}

// The loss before training, of random targets: ln V + variance of the logits / 2.
TEST(MuParam, LossAtTheStart) {
  const c10::AutoGradMode no_grad(false);
  for (const auto& [form, excess] : {std::pair{MuParam::kOff, 0.5}, {MuParam::kFull, 0.125}}) {
    double sum = 0;
    for (std::int64_t seed = 1; seed <= 3; ++seed) {
      Experiment e = test::small_experiment(1024, 0, 16, 256, 1024);
      e.interventions.mu_param = form;
      e.interventions.mu.base_width = 256;
      e.train.seed = seed;
      const auto model = train::build_model(e);
      const auto [inputs, targets] = test::random_batch(e, 8, static_cast<std::uint64_t>(seed));
      sum += ops::cross_entropy_plain(model->forward(inputs, {}), targets).ce / 3;
    }
    EXPECT_NEAR(sum, std::log(1024) + excess, 0.1);
  }
}

TEST(Freeze, FrozenParametersStayAndHaveNoState) {
  for (const OptimiserKind algorithm : kAlgorithms) {
    Experiment e = test::small_experiment();
    e.interventions.freeze = "embed.* *.q.weight";
    const auto model = train::build_model(e);
    const auto optimiser = optim::make_optimiser(model->parameters(), spec_for(algorithm, 0.1));
    std::map<std::string, at::Tensor> before;
    for (const nn::Param* p : model->parameters()) before[p->name] = p->value.detach().clone();
    const auto [inputs, targets] = test::random_batch(e, 2, 1);
    for (int t = 0; t < 8; ++t) {
      optimiser->zero_grad();
      ops::cross_entropy_plain(model->forward(inputs, {}), targets).total.backward();
      optimiser->step(0.05);
    }
    for (const nn::Param* p : model->parameters()) {
      const bool frozen = p->name == "embed.weight" || p->name.ends_with(".q.weight");
      EXPECT_EQ(p->trainable, !frozen) << p->name;
      EXPECT_EQ(p->value.detach().equal(before.at(p->name)), frozen) << p->name;
      EXPECT_EQ(p->value.grad().defined(), !frozen) << p->name;
      for (const auto& [name, tensor] : optimiser->state())
        EXPECT_FALSE(frozen && name.ends_with("/" + p->name)) << name;
    }
  }
}

TEST(Freeze, WhatCannotBeMeantIsRefused) {
  Experiment e = test::small_experiment();
  e.interventions.qk_clip = 100;
  for (const auto& [patterns, part] : {std::pair{"embed.* blocks.7.*", "\"blocks.7.*\""},
                                       {" ", "holds no pattern"},
                                       {"*", "leaves nothing to train"},
                                       {"*.attn.k.weight", "[interventions.qk_clip] changes it"}}) {
    e.interventions.freeze = patterns;
    try {
      train::build_model(e);
      ADD_FAILURE() << patterns;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

// Only a bias of the first MLP is trained of all that stands before it.
TEST(Freeze, TheFusedMlpTrainsABiasAlone) {
  Experiment e = test::small_experiment();
  e.arch.bias = true;
  e.train.ops = OpPath::kFused;
  e.interventions.freeze = "embed.* *.weight *.gain blocks.0.attn* blocks.0.mlp_norm*";
  const auto model = train::build_model(e);
  const auto [inputs, targets] = test::random_batch(e, 2, 1);
  nn::Context context;
  context.ops = OpPath::kFused;
  ops::cross_entropy_(model->forward(inputs, context), targets).total.backward();
  for (const nn::Param* p : model->parameters())
    EXPECT_TRUE(p->name != "blocks.0.mlp.fc1.bias" || p->value.grad().abs().max().item<double>() > 0);
}

}  // namespace
}  // namespace evenkeel::interventions
