#include "evenkeel/probes/sharpness.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "evenkeel/curvature/hessian.h"
#include "evenkeel/curvature/sharpness.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/schedule.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

using curvature::Hessian;
using curvature::stability_edge;

/// A model in double with some updates behind it, so that no parameter is at a special value.
Subject subject_of(const Experiment& e, int updates = 3) {
  Subject subject;
  subject.experiment = e;
  subject.step = updates;
  subject.model = train::build_model(e);
  subject.optimiser = optim::make_optimiser(subject.model->parameters(), e.optim);
  subject.context = train::pass_context(e, updates);
  subject.context.ops = OpPath::kPlain;
  const auto batch = [&](std::uint64_t seed) {
    const auto [inputs, targets] = test::random_batch(e, 2, seed);
    return train::DeviceBatch{inputs, targets};
  };
  for (int i = 0; i < updates; ++i) {
    const train::DeviceBatch b = batch(static_cast<std::uint64_t>(10 + i));
    subject.optimiser->zero_grad();
    ops::LossSpec spec;
    spec.z_coefficient = subject.model->objective.z_coefficient;
    ops::cross_entropy_plain(subject.model->forward(b.inputs, subject.context), b.targets, spec)
        .total.backward();
    subject.optimiser->step(0.01);
    subject.model->visit([](nn::Module& module) { module.after_update(); });
  }
  subject.optimiser->zero_grad();
  subject.lr = 0.01;
  subject.batch = batch(1);
  subject.model->convert(at::kDouble);
  return subject;
}

/// The gradient of the training loss, all parameters one after the other.
at::Tensor gradient(const Subject& subject) {
  for (const nn::Param* p : subject.model->parameters()) p->value.mutable_grad() = at::Tensor();
  ops::LossSpec spec;
  spec.z_coefficient = subject.model->objective.z_coefficient;
  ops::cross_entropy_plain(subject.model->forward(subject.batch.inputs, subject.context),
                           subject.batch.targets, spec)
      .total.backward();
  std::vector<at::Tensor> parts;
  for (const nn::Param* p : subject.model->parameters()) parts.push_back(p->value.grad().detach().flatten());
  return at::cat(parts);
}

void move(const Subject& subject, const at::Tensor& by, double factor) {
  const c10::AutoGradMode no_grad(false);
  std::int64_t at = 0;
  for (const nn::Param* p : subject.model->parameters()) {
    p->value.add_(by.narrow(0, at, p->value.numel()).view(p->value.sizes()), factor);
    at += p->value.numel();
  }
}

struct Case {
  const char* name;
  void (*change)(Experiment&);
};

class HessianOf : public ::testing::TestWithParam<Case> {};

// The second derivative of autograd against central differences of its first one along a random direction.
// With a step of 1e-5 in parameters of size 0.1 to 1 these are good to about 1e-10 of third derivatives plus
// 1e-16 / 1e-5 of rounding.
TEST_P(HessianOf, ProductsEqualCentralDifferencesOfGradients) {
  Experiment e = test::small_experiment(8, 2, 2, 8, 11);
  GetParam().change(e);
  const Subject subject = subject_of(e);
  const Hessian hessian(*subject.model, subject.batch, subject.context);
  at::Tensor v = test::random_normal({hessian.size()}, 5);
  v = v / v.norm();
  const at::Tensor exact = hessian.times(v);
  constexpr double kStep = 1e-5;
  move(subject, v, kStep);
  const at::Tensor up = gradient(subject);
  move(subject, v, -2 * kStep);
  const at::Tensor down = gradient(subject);
  move(subject, v, kStep);
  const at::Tensor numeric = (up - down) / (2 * kStep);
  EXPECT_GT(exact.norm().item<double>(), 1e-3);
  EXPECT_LT(((exact - numeric).norm() / exact.norm()).item<double>(), 1e-7);
}

INSTANTIATE_TEST_SUITE_P(
    Treatments, HessianOf,
    ::testing::Values(Case{"plain", [](Experiment&) {}},
                      Case{"zero_layers", [](Experiment& e) { e.arch.depth = 0; }},
                      Case{"post_ln_with_bias",
                           [](Experiment& e) {
                             e.arch.residual = ResidualScheme::kPostLn;
                             e.arch.bias = true;
                           }},
                      Case{"gelu_erf", [](Experiment& e) { e.arch.activation = ActivationKind::kGeluErf; }},
                      Case{"relu", [](Experiment& e) { e.arch.activation = ActivationKind::kRelu; }},
                      Case{"z_loss", [](Experiment& e) { e.interventions.z_loss = 0.1; }},
                      Case{"qk_norm", [](Experiment& e) { e.interventions.qk_norm = QkNorm::kPerHead; }},
                      Case{"qk_norm_own_gains",
                           [](Experiment& e) { e.interventions.qk_norm = QkNorm::kPerHeadOwn; }},
                      Case{"weight_norm", [](Experiment& e) { e.interventions.weight_norm = true; }},
                      Case{"sigma_reparam_without_norms",
                           [](Experiment& e) {
                             e.arch.residual = ResidualScheme::kNone;
                             e.interventions.sigma_reparam = SigmaReparam::kOn;
                           }},
                      Case{"spectral_norm_per_head",
                           [](Experiment& e) {
                             e.interventions.sigma_reparam = SigmaReparam::kSpectralNorm;
                             e.interventions.sigma.qkv = SigmaQkv::kPerHead;
                           }}),
    [](const auto& tested) { return std::string(tested.param.name); });

at::Tensor dense(const Hessian& hessian) {
  std::vector<at::Tensor> columns;
  for (std::int64_t i = 0; i < hessian.size(); ++i) {
    at::Tensor unit = at::zeros({hessian.size()}, at::kDouble);
    unit[i] = 1;
    columns.push_back(hessian.times(unit));
  }
  return at::stack(columns, 1);
}

double top_of(const at::Tensor& matrix) {
  return at::linalg_eigvalsh(matrix).max().item<double>();
}

TEST(Sharpness, EqualsTheEigenvaluesOfTheDenseMatrices) {
  Experiment e = test::small_experiment(4, 1, 2, 4, 5);
  const Subject subject = subject_of(e);
  const Hessian hessian(*subject.model, subject.batch, subject.context);
  const at::Tensor h = dense(hessian);
  EXPECT_LT((h - h.t()).abs().max().item<double>(), 1e-12) << "a Hessian is symmetric";
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < subject.optimiser->params().size(); ++i)
    parts.push_back(subject.optimiser->preconditioner(i).to(at::kDouble).flatten());
  const at::Tensor root = at::diag(at::cat(parts).rsqrt());

  Options options;
  options.iterations = 300;
  const Json answer = sharpness_probe().measure(subject, options);
  // The residual is at most 1e-3 of the eigenvalue, and the error about its square over the gap.
  const double plain = top_of(h), scaled = top_of(root.matmul(h).matmul(root));
  EXPECT_NEAR(answer["hessian"]["eigenvalue"].get<double>() / plain, 1, 1e-4);
  EXPECT_NEAR(answer["preconditioned"]["eigenvalue"].get<double>() / scaled, 1, 1e-4);
  EXPECT_LE(answer["hessian"]["residual"].get<double>(), 1e-3);
  EXPECT_LE(answer["preconditioned"]["residual"].get<double>(), 1e-3);
  EXPECT_EQ(answer["eigenvalue"], answer["hessian"]["eigenvalue"]);
  EXPECT_EQ(answer["ratio"], answer["preconditioned"]["ratio"]) << "Adam follows the preconditioned one";
  EXPECT_NEAR(answer["hessian"]["threshold"].get<double>(), 200, 1e-9) << "2 / 0.01";
  EXPECT_NEAR(answer["preconditioned"]["threshold"].get<double>(), 3800, 1e-9) << "38 / 0.01";
  EXPECT_DOUBLE_EQ(answer["preconditioned"]["ratio"].get<double>(),
                   answer["preconditioned"]["eigenvalue"].get<double>() / 3800);
  EXPECT_NEAR(answer["loss"].get<double>(), hessian.loss(), 0);
  EXPECT_EQ(sharpness_probe().measure(subject, options), answer) << "no number is drawn anew";
}

TEST(Sharpness, SinglePrecisionSaysNearlyTheSame) {
  const Subject wide = subject_of(test::small_experiment(8, 1, 2, 8, 11));
  Subject narrow = subject_of(test::small_experiment(8, 1, 2, 8, 11));
  narrow.model->convert(at::kFloat);
  Options options;
  const Json a = sharpness_probe().measure(wide, options);
  options.type = at::kFloat;
  const Json b = sharpness_probe().measure(narrow, options);
  // fp32 products are good to about 1e-6, and both stop at a residual of 1e-3.
  for (const char* which : {"hessian", "preconditioned"})
    EXPECT_NEAR(b[which]["eigenvalue"].get<double>() / a[which]["eigenvalue"].get<double>(), 1, 1e-3)
        << which;
}

TEST(Sharpness, TheEdgeIsThatOfTheOptimiser) {
  OptimSpec spec;
  EXPECT_TRUE(stability_edge(spec)->preconditioned);
  EXPECT_NEAR(stability_edge(spec)->factor, 38, 1e-12);
  spec.algorithm = OptimiserKind::kAdagrad;
  EXPECT_TRUE(stability_edge(spec)->preconditioned);
  EXPECT_EQ(stability_edge(spec)->factor, 2);
  spec.algorithm = OptimiserKind::kSgd;
  EXPECT_FALSE(stability_edge(spec)->preconditioned);
  EXPECT_NEAR(stability_edge(spec)->factor, 3.8, 1e-12);
  spec.algorithm = OptimiserKind::kLars;
  EXPECT_FALSE(stability_edge(spec));
}

/// Whether x -> x - update stays bounded on the loss a x^2 / 2, by doing it.
bool is_stable(double curvature, const OptimSpec& spec, double lr, double preconditioner) {
  double x = 1, m = 0, largest = 0;
  const bool adam = spec.algorithm == OptimiserKind::kAdamW;
  for (int t = 0; t < 20000; ++t) {
    const double g = curvature * x;
    m = adam ? spec.beta1 * m + (1 - spec.beta1) * g : spec.momentum * m + g;
    x -= lr * m / preconditioner;
    if (t > 10000) largest = std::max(largest, std::abs(x));
    if (std::abs(x) > 1e6) return false;
  }
  return largest < 1;
}

TEST(Sharpness, TheEdgeSeparatesStableFromUnstableOnAQuadratic) {
  constexpr double kLr = 0.03, kPreconditioner = 0.2;
  for (const OptimiserKind kind : {OptimiserKind::kAdamW, OptimiserKind::kSgd}) {
    OptimSpec spec;
    spec.algorithm = kind;
    const auto edge = stability_edge(spec);
    const double p = edge->preconditioned ? kPreconditioner : 1, at = edge->factor / kLr * p;
    EXPECT_TRUE(is_stable(0.99 * at, spec, kLr, p));
    EXPECT_FALSE(is_stable(1.01 * at, spec, kLr, p));
  }
}

TEST(Sharpness, SaysWhyNothingIsPreconditioned) {
  Experiment e = test::small_experiment(8, 1, 2, 8, 11);
  const Json start = sharpness_probe().measure(subject_of(e, 0), {});
  EXPECT_TRUE(start["preconditioned"].is_null());
  EXPECT_TRUE(start["ratio"].is_null());
  EXPECT_EQ(start["why"], "adamw has no preconditioner before its first update");
  e.optim.algorithm = OptimiserKind::kSgd;
  const Json sgd = sharpness_probe().measure(subject_of(e), {});
  EXPECT_TRUE(sgd["preconditioned"].is_null());
  EXPECT_EQ(sgd["why"], "sgd has no preconditioner");
  EXPECT_EQ(sgd["ratio"], sgd["hessian"]["ratio"]);
  EXPECT_NEAR(sgd["hessian"]["threshold"].get<double>(), 380, 1e-9) << "3.8 / 0.01";
  e.optim.algorithm = OptimiserKind::kLars;
  EXPECT_TRUE(sharpness_probe().measure(subject_of(e), {})["ratio"].is_null());
}

// Gradient descent at a quarter of the rate is as far from its edge as at a quarter of the curvature.
TEST(Sharpness, DescentKnowsRatesOfTensors) {
  Experiment e = test::small_experiment(8, 1, 2, 8, 11);
  e.optim.algorithm = OptimiserKind::kSgd;
  const Subject subject = subject_of(e);
  for (nn::Param* p : subject.model->parameters()) p->rate = 0.25;
  const Json answer = sharpness_probe().measure(subject, {});
  ASSERT_FALSE(answer["preconditioned"].is_null());
  EXPECT_EQ(answer["ratio"], answer["preconditioned"]["ratio"]);
  // Both stop at a residual of 1e-3.
  EXPECT_NEAR(answer["ratio"].get<double>() / answer["hessian"]["ratio"].get<double>(), 0.25, 1e-4);
}

TEST(Sharpness, ABrokenModelGivesNoNumber) {
  Subject subject = subject_of(test::small_experiment(8, 1, 2, 8, 11));
  {
    const c10::AutoGradMode no_grad(false);
    subject.model->parameters().front()->value.fill_(std::numeric_limits<double>::quiet_NaN());
  }
  const Json answer = sharpness_probe().measure(subject, {});
  EXPECT_TRUE(std::isnan(answer["eigenvalue"].get<double>()));
  EXPECT_TRUE(std::isnan(answer["ratio"].get<double>()));
}

}  // namespace
}  // namespace evenkeel::probes
