// What changes rates: mu_param, rms_scaled_lr, freeze, and how optimisers heed the factors of a parameter.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "evenkeel/base/error.h"
#include "evenkeel/interventions/mu_param.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/residual.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/step.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"

namespace evenkeel::interventions {
namespace {

OptimSpec spec_for(OptimiserKind algorithm, double decay = 0) {
  OptimSpec spec;
  spec.algorithm = algorithm;
  spec.lr = 0.05;
  spec.weight_decay = decay;
  if (traits(algorithm).has_decay_form) spec.decay_form = DecayForm::kIndependent;
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
  for (const auto& [algorithm, name] : EnumNames<OptimiserKind>::names) {
    if (traits(algorithm).on_sphere) continue;  // an angle: groups_test
    // Trust ratios follow the parameter, so one update of it; the first that RAdam makes is the
    // sixth.
    const int steps = traits(algorithm).relative ? 1 : 8;
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

// Four times the base width and depth: branch 1/4 and epsilon 1/16 at alpha 1, 1/2 and 1/8 at 1/2.
TEST(CompleteP, Factors) {
  for (const auto& [alpha, branch, deeper, eps] :
       {std::tuple{1.0, 0.25, 1.0, 0.0625}, std::tuple{0.5, 0.5, 0.5, 0.125}}) {
    Experiment e = test::small_experiment(256, 4, 4);
    e.interventions.mu_param = MuParam::kCompleteP;
    e.interventions.mu = {.base_width = 64, .base_depth = 1, .alpha = alpha};
    EXPECT_DOUBLE_EQ(mu_param_eps(e), eps);
    EXPECT_DOUBLE_EQ(train::eps_of(e, 1), e.optim.eps * eps);
    const auto model = train::build_model(e);
    EXPECT_EQ(model->objective.output_scale, 0.25);
    for (const auto& [name, p] : facts(*model)) {
      const bool hidden = name.starts_with("blocks.");
      EXPECT_DOUBLE_EQ(p.rate, !hidden ? 1 : p.is_matrix() ? deeper / 4 : deeper) << name;
      EXPECT_DOUBLE_EQ(p.decay, hidden ? deeper : 1) << name;
      if (!hidden && p.is_matrix()) {
        EXPECT_DOUBLE_EQ(p.init_std, 1 / std::sqrt(64.0)) << name;
      }
    }
    nn::for_each_attention(*model,
                           [&](nn::Attention& attention) { EXPECT_EQ(attention.score({}).scale, 1.0 / 64); });
    // A model of one block whose branches give what they gave times the factor.
    Experiment one = test::small_experiment(32, 1, 2);
    one.interventions.mu_param = MuParam::kCompleteP;
    one.interventions.mu = {.base_width = 32, .base_depth = 1, .alpha = alpha};
    const auto at_base = train::build_model(one);
    EXPECT_EQ(at_base->objective.output_scale, 1);
    for (const nn::Param* p : at_base->parameters()) EXPECT_EQ(p->rate * p->decay, 1) << p->name;
  }
}

// A branch times c is what comes of its last matrix times c.
TEST(CompleteP, BranchesAreMultipliedOnBothPaths) {
  const c10::AutoGradMode no_grad(false);
  for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
    nn::Context context;
    context.ops = path;
    Experiment e = test::small_experiment();
    const at::Tensor inputs = test::random_batch(e, 2, 1).first;
    const auto by_factor = train::build_model(e), by_weights = train::build_model(e);
    by_factor->visit([](nn::Module& module) {
      auto* residual = dynamic_cast<nn::Residual*>(&module);
      if (residual == nullptr) return;
      residual->set_branch_factor("test", 0.25);
      EXPECT_THROW(residual->set_branch_factor("another", 0.5), std::logic_error);
    });
    for (nn::Param* p : by_weights->parameters())
      if (p->name.ends_with("attn.o.weight") || p->name.ends_with("mlp.fc2.weight")) p->value.mul_(0.25);
    // A quarter is exact, so only the order of roundings differs.
    const at::Tensor difference = by_factor->forward(inputs, context) - by_weights->forward(inputs, context);
    EXPECT_LT(difference.abs().max().item<double>(), 1e-5);
  }
}

TEST(CompleteP, LogitsAreMultiplied) {
  const c10::AutoGradMode no_grad(false);
  Experiment e = test::small_experiment();
  const auto model = train::build_model(e);
  const at::Tensor inputs = test::random_batch(e, 2, 1).first, whole = model->forward(inputs, {}).clone();
  model->objective.output_scale = 0.25;
  EXPECT_TRUE(model->forward(inputs, {}).equal(whole * 0.25));
}

TEST(Embedding, ScaledOrNormed) {
  const c10::AutoGradMode no_grad(false);
  for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
    nn::Context context;
    context.ops = path;
    Experiment e = test::small_experiment(64, 0, 2);
    const auto rms_of = [&](EmbeddingForm form) {
      e.interventions.embedding = form;
      const auto model = train::build_model(e);
      double rms = 0;
      model->visit([&](nn::Module& module) {
        if (const auto* embedding = dynamic_cast<nn::Embedding*>(&module))
          rms = ops::rms(embedding->forward(test::random_batch(e, 2, 1).first.flatten(), context));
      });
      return rms;
    };
    const double off = rms_of(EmbeddingForm::kOff);
    EXPECT_NEAR(off, 1.0 / 8, 0.01);  // some hundred values of a normal draw
    EXPECT_NEAR(rms_of(EmbeddingForm::kScale), 8 * off, 1e-6);
    EXPECT_NEAR(rms_of(EmbeddingForm::kNorm), 1, 1e-3);  // eps beside the variance
  }
}

// x_0 and its updates are of the base's size at every width: the table is drawn as at the base and multiplied
// by the root of the base.
TEST(CompleteP, TheEmbeddingsSizeIsThatOfTheBase) {
  for (const Family family : {Family::kDecoderLm, Family::kSeq2Seq}) {
    Experiment e = test::small_experiment(256, 4, 4);
    e.arch.family = family;
    if (family == Family::kSeq2Seq) e.arch.decoder_depth = 4;
    else e.interventions.embedding = EmbeddingForm::kScale;
    e.interventions.mu_param = MuParam::kCompleteP;
    e.interventions.mu.base_width = 64;
    const auto model = train::build_model(e);
    EXPECT_DOUBLE_EQ(facts(*model).at("embed.weight").init_std, 1.0 / 8);
    model->visit([](nn::Module& module) {
      if (const auto* embedding = dynamic_cast<nn::Embedding*>(&module)) {
        EXPECT_DOUBLE_EQ(embedding->scale(), 8);
      }
    });
  }
}

TEST(NoDecay, SparesWhatItNames) {
  Experiment e = test::small_experiment();
  e.interventions.no_decay = "embed.* *.q.weight";
  const auto model = train::build_model(e);
  for (const nn::Param* p : model->parameters())
    EXPECT_EQ(p->decay, p->name.starts_with("embed.") || p->name.ends_with(".q.weight") ? 0 : 1) << p->name;
  for (const char* none : {"nothing.*", " "}) {
    e.interventions.no_decay = none;
    EXPECT_THROW(train::build_model(e), InputError);
  }
}

// One matrix, read twice: its gradient is the sum, it is saved once, and sigma-reparam reaches what the head
// uses.
TEST(TiedHead, IsTheEmbeddingsMatrix) {
  for (const Family family : {Family::kDecoderLm, Family::kSeq2Seq})
    for (const bool tied : {true, false}) {
      Experiment e = test::small_experiment();
      e.arch.family = family;
      if (family == Family::kSeq2Seq) e.arch.decoder_depth = e.arch.depth;
      EXPECT_EQ(e.arch.ties_head(), family == Family::kSeq2Seq);
      e.arch.head = tied ? HeadForm::kTied : HeadForm::kOwn;
      const auto all = facts(*train::build_model(e));
      EXPECT_EQ(all.count("head.weight"), tied ? 0u : 1u);
      EXPECT_EQ(all.count("embed.weight"), 1u);
      e.interventions.sigma_reparam = SigmaReparam::kOn;
      const auto treated = train::build_model(e);
      EXPECT_EQ(facts(*treated).count("head.sigma_reparam.gamma"), tied ? 0u : 1u);
      e.interventions.sigma.tied_head = true;
      EXPECT_EQ(facts(*train::build_model(e)).count("head.sigma_reparam.gamma"), 1u);
      e.interventions.sigma.head = false;
      EXPECT_EQ(facts(*train::build_model(e)).count("head.sigma_reparam.gamma"), 0u);
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
  for (const auto& [algorithm, called] : EnumNames<OptimiserKind>::names) {
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
