// Optimisers that treat matrices apart: which parameter is whose, Muon and Hyperball against their equations.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/newton_schulz.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/hyperball.h"
#include "evenkeel/optim/muon.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"

namespace evenkeel::optim {
namespace {

OptimSpec grouped(OptimiserKind algorithm, double lambda = 0) {
  OptimSpec spec;
  spec.algorithm = algorithm;
  spec.lr = 0.05;
  spec.weight_decay = lambda;
  if (traits(algorithm).has_decay_form) spec.decay_form = DecayForm::kIndependent;
  return spec;
}

double length(const at::Tensor& x) {
  return std::sqrt(ops::sum_squares(x.detach()));
}

/// The quantities that each parameter has state of.
std::map<std::string, std::string> state_by_parameter(const Optimiser& optimiser) {
  std::map<std::string, std::string> by;
  for (const auto& [name, tensor] : optimiser.state()) {
    const auto slash = name.find('/');
    by[name.substr(slash + 1)] += name.substr(0, slash) + " ";
  }
  return by;
}

TEST(Groups, EveryParameterIsInTheGroupOfItsKind) {
  const std::string adam = "exp_avg exp_avg_sq ", muon = "momentum_buffer ", radius = "radius ";
  for (const Family family : {Family::kDecoderLm, Family::kSeq2Seq}) {
    Experiment e = test::small_experiment();
    e.arch.family = family;
    if (family == Family::kSeq2Seq) e.arch.decoder_depth = e.arch.depth;
    const auto model = train::build_model(e);
    for (const OptimiserKind kind : {OptimiserKind::kMuon, OptimiserKind::kAdamH, OptimiserKind::kMuonH}) {
      const auto optimiser = make_optimiser(model->parameters(), grouped(kind));
      const auto state = state_by_parameter(*optimiser);
      EXPECT_EQ(state.size(), model->parameters().size());
      for (const nn::Param* param : model->parameters()) {
        std::string want = adam;
        if (param->role == nn::Role::kMatrix)
          want = kind == OptimiserKind::kMuon    ? muon
                 : kind == OptimiserKind::kMuonH ? muon + radius
                                                 : adam + radius;
        if (param->role == nn::Role::kHead && kind != OptimiserKind::kMuon) want = adam + radius;
        EXPECT_EQ(state.at(param->name), want) << enum_name(kind) << " " << param->name;
      }
    }
  }
}

TEST(Groups, TheRestHasARateOfItsOwn) {
  OptimSpec spec = grouped(OptimiserKind::kMuon, 0.2);
  spec.rest_lr_factor = 0.25;
  nn::Param gain = test::make_param(at::ones({4}, at::kDouble), nn::Role::kGain),
            embedding = test::make_param(at::ones({4, 4}, at::kDouble), nn::Role::kEmbedding);
  for (nn::Param* p : {&gain, &embedding}) p->value.mutable_grad() = at::ones_like(p->value);
  const auto optimiser = make_optimiser({&gain, &embedding}, spec);
  optimiser->step(0.025);  // half of the schedule; Delta is 1 in the first step
  EXPECT_NEAR(gain.value[0].item<double>(), 1 - 0.025 * 0.25, 1e-9);
  EXPECT_NEAR(embedding.value[0][0].item<double>(), 1 - 0.025 * 0.25 - 0.5 * 0.2, 1e-9)
      << "independent decay knows the schedule alone";
  EXPECT_EQ(optimiser->rate_of(0), 0.25);
}

TEST(Groups, CoupledDecayOfTheRestFollowsItsRate) {
  OptimSpec spec = grouped(OptimiserKind::kMuon, 0.2);
  spec.decay_form = DecayForm::kCoupled;
  spec.rest_lr_factor = 0.25;
  nn::Param embedding = test::make_param(at::ones({4, 4}, at::kDouble), nn::Role::kEmbedding);
  make_optimiser({&embedding}, spec)->step(0.025);
  EXPECT_NEAR(embedding.value[0][0].item<double>(), 1 - 0.025 * 0.25 * 0.2, 1e-12);
}

TEST(Muon, IsItsEquations) {
  for (const auto& [rows, columns] : {std::pair{6, 4}, {4, 6}})
    for (const MuonScale scale : {MuonScale::kMatchRmsAdamW, MuonScale::kOriginal, MuonScale::kSpectral})
      for (const bool nesterov : {true, false})
        for (const bool independent : {true, false}) {
          OptimSpec spec = grouped(OptimiserKind::kMuon, 0.1);
          spec.muon.scale = scale;
          spec.muon.nesterov = nesterov;
          spec.decay_form = independent ? DecayForm::kIndependent : DecayForm::kCoupled;
          nn::Param param = test::make_param(test::random_normal({rows, columns}, 1));
          at::Tensor p = param.value.detach().clone(), m = at::zeros({rows, columns}, at::kDouble);
          const auto optimiser = make_optimiser({&param}, spec);
          for (int t = 1; t <= 20; ++t) {
            const double lr = 0.05 * std::min(1.0, t / 5.0);
            const at::Tensor g = test::random_normal({rows, columns}, static_cast<std::uint64_t>(t));
            param.value.mutable_grad() = g.clone();
            optimiser->step(lr);
            m = 0.95 * m + 0.05 * g;
            const at::Tensor o = ops::newton_schulz_plain(nesterov ? 0.05 * g + 0.95 * m : m, 5);
            const double ratio = static_cast<double>(rows) / columns;
            const double s = scale == MuonScale::kMatchRmsAdamW ? 0.2 * std::sqrt(6.0)
                             : scale == MuonScale::kOriginal    ? std::sqrt(std::max(1.0, ratio))
                                                                : std::sqrt(ratio);
            p = p - lr * s * o - (independent ? lr / 0.05 : lr) * 0.1 * p;
          }
          EXPECT_LT((param.value.detach() - p).abs().max().item<double>(), 1e-13);
        }
}

// Updates of Gaussian gradients: 0.2 for every shape with match_rms_adamw, and the figures of the others.
TEST(Muon, RmsOfAnUpdate) {
  const auto rms_of = [](MuonScale scale, std::int64_t rows, std::int64_t columns) {
    OptimSpec spec = grouped(OptimiserKind::kMuon);
    spec.muon.scale = scale;
    nn::Param param = test::make_param(at::zeros({rows, columns}, at::kFloat));
    param.value.mutable_grad() = test::random_normal({rows, columns}, 1, at::kFloat);
    std::vector<UpdateStats> stats;
    make_optimiser({&param}, spec)->step(1, &stats);
    return stats[0].update_rms;
  };
  // Another draw of the gradient than that behind the figures moves them by less than this.
  EXPECT_NEAR(rms_of(MuonScale::kOriginal, 256, 256), 0.0562, 6e-4);
  EXPECT_NEAR(rms_of(MuonScale::kOriginal, 256, 1024), 0.0299, 6e-4);
  EXPECT_NEAR(rms_of(MuonScale::kOriginal, 1024, 256), 0.0596, 6e-4);
  EXPECT_NEAR(rms_of(MuonScale::kMatchRmsAdamW, 256, 256), 0.180, 2e-3);
  EXPECT_NEAR(rms_of(MuonScale::kMatchRmsAdamW, 256, 1024), 0.191, 2e-3);
  EXPECT_NEAR(rms_of(MuonScale::kMatchRmsAdamW, 1024, 256), 0.191, 2e-3);
}

// The global clip acts on gradients, before the momentum: had it come after the iteration it would divide
// every step by a number that grows with the width.
TEST(Muon, AClipOfAllGradientsAlikeChangesNothing) {
  const auto trained = [](double gradient_factor) {
    nn::Param param = test::make_param(test::random_normal({8, 8}, 1));
    const auto optimiser = make_optimiser({&param}, grouped(OptimiserKind::kMuon));
    for (std::uint64_t t = 0; t < 5; ++t) {
      param.value.mutable_grad() = test::random_normal({8, 8}, t);
      optimiser->step(0.05, nullptr, gradient_factor);
    }
    return param.value.detach();
  };
  // 1e-7 stands beside the norm of the momentum.
  EXPECT_LT((trained(1) - trained(0.01)).abs().max().item<double>(), 1e-4);
}

TEST(Hyperball, KnownAnswers) {
  const at::Tensor w = at::tensor({3.0, 0.0, 0.0, 4.0}, at::kDouble).view({2, 2});
  const at::Tensor all = on_sphere(w, at::ones({2, 2}, at::kDouble), 5, 0.1);
  const at::Tensor want =
      at::tensor({2.9483095, -0.2680281, -0.2680281, 4.0204220}, at::kDouble).view({2, 2});
  EXPECT_LT((all - want).abs().max().item<double>(), 5e-8);
  EXPECT_NEAR(length(all), 5, 1e-14);
  const auto degrees = [&](const at::Tensor& to) {
    return std::acos((w * to).sum().item<double>() / (length(w) * length(to))) * 180 / std::acos(-1.0);
  };
  EXPECT_NEAR(degrees(all), 4.3911, 5e-5);
  const at::Tensor tangent = at::tensor({0.0, 1.0, -1.0, 0.0}, at::kDouble).view({2, 2});
  EXPECT_NEAR(degrees(on_sphere(w, tangent, 5, 0.1)), 5.7105931, 5e-8);
  EXPECT_TRUE(on_sphere(w, at::zeros({2, 2}, at::kDouble), 5, 0.1).equal(w));
}

TEST(Hyperball, IsItsEquations) {
  for (const OptimiserKind kind : {OptimiserKind::kAdamH, OptimiserKind::kMuonH}) {
    const OptimSpec spec = grouped(kind);
    nn::Param param = test::make_param(test::random_normal({6, 4}, 1));
    at::Tensor p = param.value.detach().clone();
    const at::Tensor nothing = at::zeros({6, 4}, at::kDouble);
    at::Tensor m = nothing, v = nothing;
    const double radius = length(p);
    const auto optimiser = make_optimiser({&param}, spec);
    for (int t = 1; t <= 20; ++t) {
      const at::Tensor g = test::random_normal({6, 4}, static_cast<std::uint64_t>(t));
      param.value.mutable_grad() = g.clone();
      optimiser->step(0.05);
      at::Tensor u;
      if (kind == OptimiserKind::kAdamH) {
        m = 0.9 * m + 0.1 * g;
        v = 0.95 * v + 0.05 * g * g;
        u = m / (1 - std::pow(0.9, t)) / ((v / (1 - std::pow(0.95, t))).sqrt() + 1e-8);
      } else {
        m = 0.95 * m + 0.05 * g;
        u = ops::newton_schulz_plain(0.05 * g + 0.95 * m, 5);
      }
      const at::Tensor moved = p - 0.05 * radius * u / length(u);
      p = radius * moved / length(moved);
    }
    EXPECT_LT((param.value.detach() - p).abs().max().item<double>(), 1e-13) << enum_name(kind);
  }
}

// Rounding would drift in a thousand steps if the radius were that of the last matrix.
TEST(Hyperball, TheNormStays) {
  for (const OptimiserKind kind : {OptimiserKind::kAdamH, OptimiserKind::kMuonH}) {
    nn::Param param = test::make_param(test::random_normal({12, 20}, 1, at::kFloat));
    const double before = length(param.value);
    const auto optimiser = make_optimiser({&param}, grouped(kind));
    for (std::uint64_t t = 0; t < 1000; ++t) {
      param.value.mutable_grad() = test::random_normal({12, 20}, t, at::kFloat);
      optimiser->step(0.05);
    }
    EXPECT_NEAR(length(param.value) / before, 1, 1e-6);
  }
}

// The factor of a rate is one of the angle.
TEST(Hyperball, TheFactorOfARateTurnsLess) {
  const auto angle = [](double rate) {
    nn::Param param = test::make_param(test::random_normal({6, 4}, 1));
    param.rate = rate;
    const at::Tensor before = param.value.detach().clone();
    param.value.mutable_grad() = test::random_normal({6, 4}, 2);
    make_optimiser({&param}, grouped(OptimiserKind::kAdamH))->step(1e-4);
    return length(param.value.detach() - before) / length(before);
  };
  // A small step is linear in the rate but for its square.
  EXPECT_NEAR(angle(0.25) / angle(1), 0.25, 1e-4);
}

TEST(Hyperball, RefusesWhatStartsAtZero) {
  nn::Param param = test::make_param(at::zeros({3, 3}));
  param.name = "blocks.0.attn.q.weight";
  try {
    make_optimiser({&param}, grouped(OptimiserKind::kAdamH));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("blocks.0.attn.q.weight"), std::string::npos) << error.what();
  }
}

TEST(Groups, GoOnFromSavedState) {
  for (const OptimiserKind kind : {OptimiserKind::kMuon, OptimiserKind::kAdamH, OptimiserKind::kMuonH}) {
    const auto advance = [](Optimiser& optimiser, std::uint64_t t) {
      for (nn::Param* p : optimiser.params())
        p->value.mutable_grad() = test::random_normal(p->value.sizes().vec(), t, at::kFloat);
      optimiser.step(0.05);
    };
    nn::Param matrix = test::make_param(test::random_normal({5, 7}, 1, at::kFloat)),
              gain = test::make_param(at::ones({7}), nn::Role::kGain);
    matrix.name = "m";
    gain.name = "g";
    const auto straight = make_optimiser({&gain, &matrix}, grouped(kind));
    for (std::uint64_t t = 0; t < 3; ++t) advance(*straight, t);
    nn::Param copy = test::make_param(matrix.value.detach().clone()),
              gain_copy = test::make_param(gain.value.detach().clone(), nn::Role::kGain);
    copy.name = "m";
    gain_copy.name = "g";
    const auto resumed = make_optimiser({&gain_copy, &copy}, grouped(kind));
    const auto saved = straight->state(), target = resumed->state();
    ASSERT_EQ(saved.size(), target.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      EXPECT_EQ(saved[i].first, target[i].first);
      target[i].second.copy_(saved[i].second);
    }
    resumed->set_steps(straight->steps());
    for (std::uint64_t t = 3; t < 6; ++t) {
      advance(*straight, t);
      advance(*resumed, t);
    }
    EXPECT_TRUE(matrix.value.detach().equal(copy.value.detach())) << enum_name(kind);
    EXPECT_TRUE(gain.value.detach().equal(gain_copy.value.detach())) << enum_name(kind);
  }
}

}  // namespace
}  // namespace evenkeel::optim
