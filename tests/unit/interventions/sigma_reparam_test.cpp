#include "evenkeel/interventions/sigma_reparam.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_svd.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/weight_transform.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/step.h"
#include "tests/support/small_model.h"

namespace evenkeel::interventions {
namespace {

Experiment with(SigmaReparam form) {
  Experiment e = test::small_experiment();
  e.interventions.sigma_reparam = form;
  return e;
}

double top(const at::Tensor& w) {
  return std::get<1>(at::linalg_svd(w.detach().to(at::kDouble)))[0].item<double>();
}

at::Tensor buffer(nn::Module& model, const std::string& name) {
  for (const nn::Buffer* b : model.buffers())
    if (b->name == name) return b->value;
  ADD_FAILURE() << "no buffer " << name;
  return {};
}

std::vector<nn::WeightTransform*> transforms(nn::Module& model) {
  std::vector<nn::WeightTransform*> all;
  model.visit([&](nn::Module& module) {
    if (auto* transform = dynamic_cast<nn::WeightTransform*>(&module)) all.push_back(transform);
  });
  return all;
}

/// Trains some steps and keeps what belongs to them together.
struct Training {
  explicit Training(const Experiment& experiment)
      : e(experiment),
        model(train::build_model(e)),
        optimiser(optim::make_optimiser(model->parameters(), e.optim)),
        step(e, *model, *optimiser, recorder, at::arange(*e.data.vocab)) {
    const auto [inputs, targets] = test::random_batch(e, 4, 5);
    batch = {inputs, targets};
  }
  void steps(int n) {
    for (int i = 0; i < n; ++i) loss = step.make(++made, batch, train::Detail::kFull).loss;
  }
  Experiment e;
  std::unique_ptr<models::Model> model;
  std::unique_ptr<optim::Optimiser> optimiser;
  telemetry::Recorder recorder;
  train::Step step;
  train::DeviceBatch batch;
  std::int64_t made = 0;
  double loss = 0;
};

TEST(SigmaReparam, EveryFormTrainsOnEveryModelAndPath) {
  for (const auto& [form, form_name] : EnumNames<SigmaReparam>::names)
    for (const auto& [qkv, qkv_name] : EnumNames<SigmaQkv>::names)
      for (const auto& [residual, residual_name] : EnumNames<ResidualScheme>::names)
        for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
          Experiment e = with(form);
          e.interventions.sigma.qkv = qkv;
          e.interventions.qk_norm = QkNorm::kPerHead;
          e.arch.residual = residual;
          e.arch.bias = true;
          e.train.ops = path;
          Training training(e);
          training.steps(1);
          const double first = training.loss;
          training.steps(12);
          EXPECT_LT(training.loss, first) << form_name << " " << qkv_name << " " << residual_name;
          for (const nn::Param* p : training.model->parameters()) {
            ASSERT_TRUE(p->value.grad().defined()) << p->name;
            EXPECT_GT(p->value.grad().abs().max().item<double>(), 0) << p->name;
          }
        }
}

TEST(SigmaReparam, NamesAndGroups) {
  const std::map<SigmaQkv, std::map<std::string, std::int64_t>> expected{
      {SigmaQkv::kFused, {{"qkv", 1}}},
      {SigmaQkv::kQkV, {{"qk", 1}, {"v", 1}}},
      {SigmaQkv::kSeparate, {{"q", 1}, {"k", 1}, {"v", 1}}},
      {SigmaQkv::kPerHead, {{"q", 2}, {"k", 2}, {"v", 2}}}};
  for (const auto& [qkv, groups] : expected) {
    Experiment e = with(SigmaReparam::kOn);
    e.interventions.sigma.qkv = qkv;
    const auto model = train::build_model(e);
    std::map<std::string, std::int64_t> found;
    for (const nn::Param* p : model->parameters())
      if (p->role == nn::Role::kGamma) found[p->name] = p->value.numel();
    std::map<std::string, std::int64_t> names{{"head.sigma_reparam.gamma", 1}};
    for (const std::string layer : {"blocks.0.", "blocks.1."}) {
      for (const auto& [name, count] : groups) names[layer + "attn." + name + ".sigma_reparam.gamma"] = count;
      for (const char* name : {"attn.o", "mlp.fc1", "mlp.fc2"})
        names[layer + name + ".sigma_reparam.gamma"] = 1;
    }
    EXPECT_EQ(found, names);
  }
}

TEST(SigmaReparam, FusedIsPlain) {
  for (const SigmaQkv qkv : {SigmaQkv::kFused, SigmaQkv::kPerHead}) {
    Experiment e = with(SigmaReparam::kOn);
    e.interventions.sigma.qkv = qkv;
    e.train.ops = OpPath::kPlain;
    Training plain(e);
    e.train.ops = OpPath::kFused;
    Training fused(e);
    plain.steps(3);
    fused.steps(3);
    EXPECT_NEAR(plain.loss, fused.loss, 1e-4);  // three AdamW steps on fp32 gradients that differ by 1e-5
  }
}

// C11.
TEST(SigmaReparam, EvaluationLeavesTheStateAlone) {
  for (const SigmaUpdate update : {SigmaUpdate::kPerStep, SigmaUpdate::kPerForward}) {
    Experiment e = with(SigmaReparam::kOn);
    e.interventions.sigma.update = update;
    Training training(e);
    training.steps(2);
    const std::string name = "blocks.1.mlp.fc1.sigma_reparam.u";
    const at::Tensor u = buffer(*training.model, name).clone();
    const nn::Context context = train::pass_context(e.train);
    const at::Tensor a = training.model->forward(training.batch.inputs, context).detach().clone();
    const at::Tensor b = training.model->forward(training.batch.inputs, context).detach();
    EXPECT_TRUE(a.equal(b));
    EXPECT_TRUE(u.equal(buffer(*training.model, name)));
    training.steps(1);
    EXPECT_FALSE(u.equal(buffer(*training.model, name)));
  }
}

TEST(SigmaReparam, TheStateStandsStillBetweenSteps) {
  Experiment e = with(SigmaReparam::kOn);
  const auto model = train::build_model(e);
  const auto [inputs, targets] = test::random_batch(e, 4, 5);
  nn::Context context = train::pass_context(e.train);
  context.training = true;
  const at::Tensor a = model->forward(inputs, context).detach().clone();
  EXPECT_TRUE(a.equal(model->forward(inputs, context).detach()));
  e.interventions.sigma.update = SigmaUpdate::kPerForward;
  e.interventions.sigma.start = SigmaStart::kBurnIn;
  e.interventions.sigma.burn_in = 1;
  const auto reference = train::build_model(e);
  const at::Tensor first = reference->forward(inputs, context).detach().clone();
  EXPECT_FALSE(first.equal(reference->forward(inputs, context).detach()));
}

// C1 in training, at learning rates up to half a weight's size per step.
TEST(SigmaReparam, TheNormIsGammaAtEveryStep) {
  for (const double lr : {1e-3, 1e-2, 1e-1}) {
    Experiment e = with(SigmaReparam::kOn);
    e.optim.lr = lr;
    Training training(e);
    for (int i = 0; i < 12; ++i) {
      training.steps(1);
      const c10::AutoGradMode no_grad(false);
      for (const nn::WeightTransform* transform : transforms(*training.model)) {
        std::vector<at::Tensor> used = transform->forward({});
        for (const nn::Param* p : training.model->parameters()) {
          if (p->name != transform->path() + ".gamma") continue;
          const double ratio = top(at::cat(used)) / std::abs(p->value.item<double>());
          EXPECT_GE(ratio, 1 - 1e-5) << p->name;
          EXPECT_LE(ratio, 1.01) << p->name << " at " << lr << " step " << i;
        }
      }
    }
  }
}

TEST(SigmaReparam, GammaStarts) {
  const auto plain = train::build_model(with(SigmaReparam::kOff));
  const auto [inputs, targets] = test::random_batch(with(SigmaReparam::kOff), 2, 5);
  for (const SigmaReparam form : {SigmaReparam::kOn, SigmaReparam::kSpectralNorm}) {
    Experiment e = with(form);
    e.interventions.sigma.gamma_init = GammaInit::kSigma0;
    // The function of the plain model, up to fp32 rounding through two blocks.
    EXPECT_LT(
        (train::build_model(e)->forward(inputs, {}) - plain->forward(inputs, {})).abs().max().item<double>(),
        2e-5);
    e.interventions.sigma.gamma_init = GammaInit::kValue;
    e.interventions.sigma.gamma_value = 0.25;
    const auto model = train::build_model(e);
    for (const nn::WeightTransform* transform : transforms(*model))
      EXPECT_NEAR(top(at::cat(transform->forward({}))), 0.25, 1e-5);
  }
}

TEST(SigmaReparam, SpectralNormDoesNotTrainGamma) {
  Training training(with(SigmaReparam::kSpectralNorm));
  training.steps(5);
  for (const nn::Param* p : training.model->parameters()) EXPECT_NE(p->role, nn::Role::kGamma);
  for (const nn::WeightTransform* transform : transforms(*training.model)) {
    const c10::AutoGradMode no_grad(false);
    const double norm = top(at::cat(transform->forward({})));
    EXPECT_GE(norm, 1 - 1e-5);
    EXPECT_LE(norm, 1.01);
  }
}

TEST(SigmaReparam, StatsOnlyChangesNoBit) {
  Training off(with(SigmaReparam::kOff)), stats(with(SigmaReparam::kStatsOnly));
  off.steps(4);
  stats.steps(4);
  const auto a = off.model->parameters(), b = stats.model->parameters();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i]->value.equal(b[i]->value)) << a[i]->name;
  const Json record = *stats.recorder.heads_record();
  EXPECT_TRUE(record.contains("sigma/blocks.0.attn.qkv/sigma"));
  EXPECT_FALSE(record.contains("sigma/blocks.0.attn.qkv/gamma"));
}

// C10, second half: one Adam step moves the spectral norm by the learning rate, whatever the width.
TEST(SigmaReparam, AnAdamStepMovesGammaByTheLearningRate) {
  Experiment e = with(SigmaReparam::kOn);
  e.optim.warmup = Duration{0};
  e.optim.weight_decay = 0;
  Training training(e);
  training.steps(1);
  for (const nn::Param* p : training.model->parameters()) {
    if (p->role != nn::Role::kGamma) continue;
    EXPECT_NEAR(std::abs(p->value.item<double>() - 1), e.optim.lr, 1e-5) << p->name;
  }
}

TEST(SigmaReparam, DecayLeavesGammaAlone) {
  for (const bool decays : {false, true}) {
    Experiment e = with(SigmaReparam::kOn);
    e.optim.decay_gammas = decays;
    e.optim.weight_decay = 0.5;
    const auto model = train::build_model(e);
    const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
    optimiser->step(e.optim.lr);  // without gradients only decay acts
    for (const nn::Param* p : model->parameters())
      if (p->role == nn::Role::kGamma) {
        EXPECT_FLOAT_EQ(p->value.item<float>(), decays ? 0.5f : 1.0f) << p->name;
      }
  }
}

// S 6.6: with gamma = 1 the size of the start does not reach the output.
TEST(SigmaReparam, TheStdOfTheStartDoesNotReachTheOutput) {
  const Experiment e = with(SigmaReparam::kOn);
  const auto [inputs, targets] = test::random_batch(e, 2, 5);
  std::vector<at::Tensor> logits;
  for (const double std : {0.02, 0.1}) {
    const auto model = train::build_model(e);
    const c10::AutoGradMode no_grad(false);
    model->visit([&](nn::Module& module) {
      if (auto* linear = dynamic_cast<nn::Linear*>(&module))
        linear->weight.value.mul_(std / linear->weight.value.std().item<float>());
    });
    for (nn::WeightTransform* transform : transforms(*model)) transform->parameters_drawn(1);
    logits.push_back(model->forward(inputs, {}));
  }
  // Rounding of fp32, relative to logits of size 1, through two blocks.
  EXPECT_LT((logits[0] - logits[1]).abs().max().item<double>(), 1e-5);
  EXPECT_GT(logits[0].std().item<double>(), 1e-3);
}

TEST(SigmaReparam, ZeroWeightsAreSafe) {
  Experiment e = with(SigmaReparam::kOn);
  Training training(e);
  {
    const c10::AutoGradMode no_grad(false);
    for (const nn::Param* p : training.model->parameters())
      if (p->name == "blocks.0.mlp.fc2.weight") p->value.zero_();
    training.model->visit([](nn::Module& module) { module.after_update(); });
  }
  training.steps(3);
  EXPECT_TRUE(std::isfinite(training.loss));
  for (const nn::Param* p : training.model->parameters())
    if (p->name == "blocks.0.mlp.fc2.weight") {
      EXPECT_GT(p->value.abs().max().item<double>(), 0);
    }
}

TEST(WeightNorm, StartsAsThePlainModelAndTrains) {
  Experiment e = test::small_experiment();
  const auto plain = train::build_model(e);
  e.interventions.weight_norm = true;
  for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
    e.train.ops = path;
    Training training(e);
    EXPECT_LT((training.model->forward(training.batch.inputs, {}) - plain->forward(training.batch.inputs, {}))
                  .abs()
                  .max()
                  .item<double>(),
              2e-5);
    const ops::Loss loss = ops::cross_entropy_plain(training.model->forward(training.batch.inputs, {}),
                                                    training.batch.targets, {0});
    loss.total.backward();
    for (const nn::Param* p : training.model->parameters()) {
      if (p->role != nn::Role::kMatrix) continue;
      // The gradient of a direction is orthogonal to it, row by row; fp32 leaves the rounding of small
      // gradients.
      const at::Tensor along =
          (p->value.grad() * p->value).sum({1}) / (p->value.grad().norm(2, {1}) * p->value.norm(2, {1}));
      EXPECT_LT(along.abs().max().item<double>(), 1e-4) << p->name;
    }
    training.steps(12);
    EXPECT_LT(training.loss, loss.ce);
  }
}

}  // namespace
}  // namespace evenkeel::interventions
