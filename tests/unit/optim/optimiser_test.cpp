// Every algorithm against its equations, one number at a time, and what all of them promise.
#include "evenkeel/optim/optimiser.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "evenkeel/ops/reduce.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/optim/adam.h"
#include "evenkeel/optim/adamw.h"
#include "evenkeel/optim/clip.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"

namespace evenkeel::optim {
namespace {

using Numbers = std::vector<double>;

std::vector<OptimiserKind> every_algorithm() {
  std::vector<OptimiserKind> all;
  for (const auto& [kind, name] : EnumNames<OptimiserKind>::names) all.push_back(kind);
  return all;
}
const std::vector<OptimiserKind> kAll = every_algorithm();

/// Whether it updates what is no matrix of two dimensions as Adam or AdamW would.
bool is_adam_elsewhere(OptimiserKind kind) {
  return kind == OptimiserKind::kAdamW || kind == OptimiserKind::kAdam || kind == OptimiserKind::kRAdam ||
         kind == OptimiserKind::kMuon || kind == OptimiserKind::kAdamH || kind == OptimiserKind::kMuonH;
}

OptimSpec spec_of(OptimiserKind algorithm, double lambda) {
  OptimSpec spec;
  spec.algorithm = algorithm;
  spec.lr = 0.05;
  spec.weight_decay = lambda;
  spec.momentum = 0.8;
  spec.trust_coefficient = 0.02;
  return spec;
}

Numbers numbers(const at::Tensor& x) {
  const at::Tensor wide = x.detach().to(at::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

double norm(const Numbers& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

double rate(int t) {
  return 0.05 * std::min(1.0, t / 5.0);
}

/// The equations as they are printed: p after step t with gradient g, a and b the state.
using Naive = std::function<void(int t, double lr, const OptimSpec&, const Numbers& g, Numbers& p, Numbers& a,
                                 Numbers& b)>;

void adam(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& m, Numbers& v) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double x = g[i] + *s.weight_decay * p[i];
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * x;
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * x * x;
    p[i] -= lr * (m[i] / (1 - std::pow(s.beta1, t))) / (std::sqrt(v[i] / (1 - std::pow(s.beta2, t))) + s.eps);
  }
}

void radam(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& m, Numbers& v) {
  const double power = std::pow(s.beta2, t), rho = 2 / (1 - s.beta2) - 1,
               rho_t = rho - 2 * t * power / (1 - power);
  for (std::size_t i = 0; i < p.size(); ++i) {
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * g[i];
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * g[i] * g[i];
    p[i] -= lr * *s.weight_decay * p[i];
    if (rho_t < 5) continue;
    const double step =
        std::sqrt((1 - power) * (rho_t - 4) / (rho - 4) * (rho_t - 2) / rho_t * rho / (rho - 2)) /
        (1 - std::pow(s.beta1, t));
    p[i] -= lr * step * m[i] / (std::sqrt(v[i]) + s.eps);
  }
}

void sgd(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& b, Numbers&) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double x = g[i] + *s.weight_decay * p[i];
    b[i] = t == 1 ? x : s.momentum * b[i] + x;
    p[i] -= lr * b[i];
  }
}

void lars(int, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& b, Numbers&) {
  const double local = s.trust_coefficient * norm(p) / (norm(g) + *s.weight_decay * norm(p));
  for (std::size_t i = 0; i < p.size(); ++i) {
    b[i] = s.momentum * b[i] + lr * local * (g[i] + *s.weight_decay * p[i]);
    p[i] -= b[i];
  }
}

void adagrad(int, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& sum, Numbers&) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double x = g[i] + *s.weight_decay * p[i];
    sum[i] += x * x;
    p[i] -= lr * x / (std::sqrt(sum[i]) + s.eps);
  }
}

/// mhat and vhat of one value after step t.
std::pair<double, double> moments(int t, const OptimSpec& s, double g, double& m, double& v) {
  m = s.beta1 * m + (1 - s.beta1) * g;
  v = s.beta2 * v + (1 - s.beta2) * g * g;
  return {m / (1 - std::pow(s.beta1, t)), v / (1 - std::pow(s.beta2, t))};
}

void lamb(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& m, Numbers& v) {
  Numbers r(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto [mean, square] = moments(t, s, g[i], m[i], v[i]);
    r[i] = mean / (std::sqrt(square) + s.eps) + *s.weight_decay * p[i];
  }
  const double ratio = norm(p) / norm(r);
  for (std::size_t i = 0; i < p.size(); ++i) p[i] -= lr * ratio * r[i];
}

void adam_atan2(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& m, Numbers& v) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto [mean, square] = moments(t, s, g[i], m[i], v[i]);
    p[i] -= lr * (1.27 * std::atan2(mean, std::sqrt(square)) + *s.weight_decay * p[i]);
  }
}

void stable_adamw(int t, double lr, const OptimSpec& s, const Numbers& g, Numbers& p, Numbers& m,
                  Numbers& v) {
  Numbers direction(p.size());
  double excess = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto [mean, square] = moments(t, s, g[i], m[i], v[i]);
    direction[i] = mean / (std::sqrt(square) + s.eps);
    excess += g[i] * g[i] / std::max(square, s.eps * s.eps) / static_cast<double>(p.size());
  }
  const double slower = lr / std::max(1.0, std::sqrt(excess));
  for (std::size_t i = 0; i < p.size(); ++i) p[i] -= slower * (direction[i] + *s.weight_decay * p[i]);
}

// In float weights of order 1 are rounded in each of 20 steps, 20 * 6e-8, and as much again from the state.
void expect_equal(OptimiserKind algorithm, const Naive& naive) {
  for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-13}, {at::kFloat, 3e-6}})
    for (const double lambda : {0.0, 0.1}) {
      const OptimSpec spec = spec_of(algorithm, lambda);
      nn::Param param = test::make_param(test::random_normal({2051}, 1, type));
      const auto optimiser = make_optimiser({&param}, spec);
      Numbers p = numbers(param.value), a(p.size()), b(p.size());
      for (int t = 1; t <= 20; ++t) {
        const at::Tensor gradient = test::random_normal({2051}, static_cast<std::uint64_t>(100 + t), type);
        param.value.mutable_grad() = gradient;
        optimiser->step(rate(t), nullptr, 0.5);
        Numbers g = numbers(gradient);
        for (double& x : g) x *= 0.5;
        naive(t, rate(t), spec, g, p, a, b);
      }
      const Numbers end = numbers(param.value);
      for (std::size_t i = 0; i < p.size(); ++i) ASSERT_NEAR(end[i], p[i], tolerance) << i;
    }
}

TEST(Optimiser, AdamEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kAdam, adam);
}
TEST(Optimiser, RAdamEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kRAdam, radam);
}

// Check 15 of Admin's: five updates do nothing but decay.
TEST(Optimiser, RAdamMovesFromTheSixthUpdateOn) {
  for (const double beta2 : {0.98, 0.99, 0.995, 0.999}) {
    OptimSpec spec = spec_of(OptimiserKind::kRAdam, 0);
    spec.beta2 = beta2;
    nn::Param param = test::make_param(test::random_normal({50}, 1, at::kFloat));
    const auto optimiser = make_optimiser({&param}, spec);
    const at::Tensor start = param.value.detach().clone();
    for (std::uint64_t t = 1; t <= 6; ++t) {
      param.value.mutable_grad() = test::random_normal({50}, 10 + t, at::kFloat);
      optimiser->step(0.05);
      EXPECT_EQ(param.value.detach().equal(start), t <= 5) << t;
    }
  }
}

TEST(Optimiser, SgdEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kSgd, sgd);
}
TEST(Optimiser, LarsEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kLars, lars);
}
TEST(Optimiser, AdagradEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kAdagrad, adagrad);
}

TEST(Optimiser, LambEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kLamb, lamb);
}
TEST(Optimiser, AdamAtan2EqualsANaiveLoop) {
  expect_equal(OptimiserKind::kAdamAtan2, adam_atan2);
}
TEST(Optimiser, StableAdamWEqualsANaiveLoop) {
  expect_equal(OptimiserKind::kStableAdamW, stable_adamw);
}

/// What one first update at rate 1 subtracts from p for the gradient g.
Numbers first_update(OptimSpec spec, const Numbers& p, const Numbers& g) {
  const auto tensor = [](const Numbers& values) {
    at::Tensor t = at::zeros({static_cast<std::int64_t>(values.size())}, at::kDouble);
    std::copy(values.begin(), values.end(), t.data_ptr<double>());
    return t;
  };
  nn::Param param = test::make_param(tensor(p));
  param.value.mutable_grad() = tensor(g);
  make_optimiser({&param}, spec)->step(1);
  return numbers(tensor(p) - param.value.detach());
}

// w = (3, 4) and direction (1, 0): |w| = 5 over |(1.03, 0.04)|.
TEST(Lamb, RatioOfNorms) {
  OptimSpec spec = spec_of(OptimiserKind::kLamb, 0.01);
  spec.eps = 0;
  const Numbers step = first_update(spec, {3, 4}, {1, 0});
  EXPECT_NEAR(step[0] / 1.03, 4.8507125, 5e-8);
  EXPECT_NEAR(step[1] / 0.04, 4.8507125, 5e-8);
  EXPECT_NEAR(first_update(spec, {0, 0}, {1, 0})[0], 1, 1e-12) << "what is zero can move";
}

// The first update is a quarter of a turn times 1.27 whatever the size of the gradient, without an epsilon.
TEST(AdamAtan2, DoesNotKnowTheScaleOfTheGradient) {
  for (const double scale : {1e-150, 1e-8, 1.0, 1e8})
    EXPECT_NEAR(first_update(spec_of(OptimiserKind::kAdamAtan2, 0), {2}, {scale})[0], 0.9974557, 5e-8)
        << scale;
}

// A gradient ten times what the second moment expects is taken at a tenth, one that is expected as AdamW
// would.
TEST(StableAdamW, SlowsDownForWhatItDidNotExpect) {
  nn::Param stable = test::make_param(at::zeros({100}, at::kDouble)),
            usual = test::make_param(at::zeros({100}, at::kDouble));
  OptimSpec spec = spec_of(OptimiserKind::kStableAdamW, 0);
  const auto one = make_optimiser({&stable}, spec);
  spec.algorithm = OptimiserKind::kAdamW;
  const auto two = make_optimiser({&usual}, spec);
  std::vector<UpdateStats> slow, fast;
  for (int t = 1; t <= 200; ++t) {
    const double size = t == 200 ? 1000 : 1;
    for (nn::Param* p : {&stable, &usual}) p->value.mutable_grad() = at::full({100}, size, at::kDouble);
    one->step(0.01, &slow);
    two->step(0.01, &fast);
    if (t == 200) break;
    EXPECT_NEAR(slow[0].update_rms, fast[0].update_rms, 1e-12);
  }
  const double expected = std::sqrt(spec.beta2 + (1 - spec.beta2) * 1e6);  // sqrt(vhat); b2^200 is nothing
  EXPECT_NEAR(slow[0].update_rms / fast[0].update_rms, expected / 1000, 1e-3);
}

TEST(Optimiser, AdamWithoutDecayIsAdamWToTheBit) {
  nn::Param one = test::make_param(test::random_normal({100}, 1, at::kFloat));
  nn::Param two = test::make_param(one.value.detach().clone());
  Adam adam({&one}, spec_of(OptimiserKind::kAdam, 0));
  AdamW adamw({&two}, spec_of(OptimiserKind::kAdamW, 0));
  for (std::uint64_t t = 0; t < 3; ++t) {
    one.value.mutable_grad() = two.value.mutable_grad() = test::random_normal({100}, t, at::kFloat);
    adam.step(0.05, nullptr, 0.3);
    adamw.step(0.05, nullptr, 0.3);
  }
  EXPECT_TRUE(one.value.detach().equal(two.value.detach()));
}

/// Around the sizes at which tensor operations split over threads.
const std::vector<std::int64_t> kAroundSplit{1, 17, 32768, 40001, 100003};

TEST(Optimiser, BitsDependNeitherOnThreadsNorOnStatisticsNorOnWhoClips) {
  for (const OptimiserKind algorithm : kAll) {
    const auto run = [&](int threads, bool record, bool clip_first) {
      ops::set_threads(threads);
      test::Several several(kAroundSplit);
      if (clip_first)
        for (const nn::Param& param : several.params)
          if (param.value.grad().defined()) param.value.mutable_grad().mul_(0.3);
      const auto optimiser = make_optimiser(several.pointers(), spec_of(algorithm, 0.1));
      std::vector<UpdateStats> stats;
      for (int t = 0; t < 3; ++t) optimiser->step(0.05, record ? &stats : nullptr, clip_first ? 1 : 0.3);
      ops::set_threads(1);
      EXPECT_EQ(stats.size(), record ? several.params.size() : 0u);
      return several;
    };
    const test::Several one = run(1, true, false);
    EXPECT_TRUE(one.equals(run(3, true, false))) << enum_name(algorithm);
    EXPECT_TRUE(one.equals(run(1, false, false))) << enum_name(algorithm);
    EXPECT_TRUE(one.equals(run(2, false, true))) << enum_name(algorithm);
  }
}

TEST(Optimiser, StatisticsAreThoseOfTheUpdate) {
  for (const OptimiserKind algorithm : kAll) {
    nn::Param param = test::make_param(test::random_normal({40, 50}, 1, at::kFloat));
    const auto optimiser = make_optimiser({&param}, spec_of(algorithm, 0.1));
    std::vector<UpdateStats> stats;
    for (std::uint64_t t = 0; t < 3; ++t) {
      const at::Tensor gradient = test::random_normal({40, 50}, t, at::kFloat);
      param.value.mutable_grad() = gradient.clone();
      const at::Tensor before = param.value.detach().clone();
      optimiser->step(0.05, &stats);
      ASSERT_EQ(stats.size(), 1u);
      EXPECT_DOUBLE_EQ(stats[0].grad_rms, ops::rms(gradient));
      EXPECT_DOUBLE_EQ(stats[0].param_rms, ops::rms(before));
      // The difference of rounded weights carries their rounding, 6e-8 of a number of order 1.
      EXPECT_NEAR(stats[0].update_rms, ops::rms(before.sub(param.value.detach())), 1e-7);
      if (!traits(algorithm).decays_apart) {
        EXPECT_NEAR(stats[0].delta_rms, stats[0].update_rms / 0.05, 1e-6 * stats[0].delta_rms);
      }
    }
  }
}

TEST(Optimiser, GoesOnFromSavedState) {
  for (const OptimiserKind algorithm : kAll) {
    const OptimSpec spec = spec_of(algorithm, 0.1);
    const auto advance = [](Optimiser& optimiser, std::uint64_t t) {
      optimiser.params()[0]->value.mutable_grad() = test::random_normal({33}, t, at::kFloat);
      optimiser.step(0.05);
    };
    nn::Param whole = test::make_param(test::random_normal({33}, 1, at::kFloat));
    const auto straight = make_optimiser({&whole}, spec);
    for (std::uint64_t t = 0; t < 3; ++t) advance(*straight, t);
    nn::Param copy = test::make_param(whole.value.detach().clone());
    const auto resumed = make_optimiser({&copy}, spec);
    const auto saved = straight->state(), target = resumed->state();
    ASSERT_FALSE(saved.empty());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      EXPECT_EQ(saved[i].first.substr(saved[i].first.find('/')), "/w");
      target[i].second.copy_(saved[i].second);
    }
    resumed->set_steps(straight->steps());
    for (std::uint64_t t = 3; t < 6; ++t) {
      advance(*straight, t);
      advance(*resumed, t);
    }
    EXPECT_TRUE(whole.value.detach().equal(copy.value.detach())) << enum_name(algorithm);
  }
}

double left_after(OptimSpec spec, nn::Role role) {
  nn::Param param = test::make_param(at::zeros({1}, at::kDouble).fill_(2), role);
  make_optimiser({&param}, spec)->step(0.05);
  return param.value.item<double>();
}

TEST(Optimiser, GainsBiasesAndGammasDecayOnlyWhenAsked) {
  for (const OptimiserKind algorithm : kAll) {
    OptimSpec spec = spec_of(algorithm, 0.5);
    for (const nn::Role role : {nn::Role::kMatrix, nn::Role::kEmbedding, nn::Role::kHead})
      EXPECT_LT(left_after(spec, role), 2);
    for (const nn::Role role : {nn::Role::kGain, nn::Role::kBias, nn::Role::kGamma})
      EXPECT_EQ(left_after(spec, role), 2);
    spec.decay_gains = true;
    EXPECT_LT(left_after(spec, nn::Role::kGain), 2);
    EXPECT_LT(left_after(spec, nn::Role::kBias), 2);
    EXPECT_EQ(left_after(spec, nn::Role::kGamma), 2) << "a gamma is no gain";
    spec.decay_gains = false;
    spec.decay_gammas = true;
    EXPECT_EQ(left_after(spec, nn::Role::kGain), 2);
    EXPECT_LT(left_after(spec, nn::Role::kGamma), 2);
  }
}

// |p| = 5, |g| = 10: the first update is lr c |p| / |g| g, of size lr c |p| whatever the gradient's.
TEST(Lars, TrustRatioIsOfTheTensorAndSparesWhatIsNoMatrix) {
  const auto moved = [](OptimSpec spec, nn::Role role, double scale) {
    at::Tensor p = at::zeros({2}, at::kDouble);
    p[0] = 3 * scale;
    p[1] = 4 * scale;
    nn::Param param = test::make_param(p.clone(), role);
    param.value.mutable_grad() = at::zeros({2}, at::kDouble);
    param.value.mutable_grad()[1] = 10;
    make_optimiser({&param}, spec)->step(0.05);
    return (p[1] - param.value.detach()[1]).item<double>();
  };
  OptimSpec spec = spec_of(OptimiserKind::kLars, 0);
  const double trusted = 0.05 * 0.02 * 5, plain = 0.05 * 10;
  EXPECT_NEAR(moved(spec, nn::Role::kMatrix, 1), trusted, 1e-15);
  EXPECT_NEAR(moved(spec, nn::Role::kMatrix, 0), plain, 1e-15) << "a tensor at zero can leave it";
  EXPECT_NEAR(moved(spec, nn::Role::kGain, 1), plain, 1e-15);
  EXPECT_NEAR(moved(spec, nn::Role::kGamma, 1), plain, 1e-15);
  spec.trust_gains = true;
  EXPECT_NEAR(moved(spec, nn::Role::kBias, 1), trusted, 1e-15);
  EXPECT_NEAR(moved(spec, nn::Role::kGamma, 1), plain, 1e-15);
  spec.trust_gammas = true;
  EXPECT_NEAR(moved(spec, nn::Role::kGamma, 1), trusted, 1e-15);
}

TEST(Optimiser, PreconditionerAndDirectionAreThoseOfTheLastUpdate) {
  for (const OptimiserKind algorithm : kAll) {
    nn::Param param = test::make_param(test::random_normal({50}, 1));
    const auto optimiser = make_optimiser({&param}, spec_of(algorithm, 0));
    EXPECT_FALSE(optimiser->preconditioner(0).defined());
    EXPECT_FALSE(optimiser->direction(0).defined());
    const bool adam = is_adam_elsewhere(algorithm);
    at::Tensor before, gradient;
    for (std::uint64_t t = 2; t < 10; ++t) {
      before = param.value.detach().clone();
      gradient = test::random_normal({50}, t);
      param.value.mutable_grad() = gradient.clone();
      optimiser->step(0.05);
    }
    const at::Tensor update = before - param.value.detach();
    ASSERT_EQ(optimiser->direction(0).defined(), adam) << enum_name(algorithm);
    ASSERT_EQ(optimiser->preconditioner(0).defined(), adam || algorithm == OptimiserKind::kAdagrad);
    if (adam) {
      EXPECT_LT((optimiser->direction(0) * 0.05 - update).abs().max().item<double>(), 1e-14);
    }
    if (algorithm == OptimiserKind::kAdagrad) {
      EXPECT_LT((gradient / optimiser->preconditioner(0) * 0.05 - update).abs().max().item<double>(), 1e-14);
    }
  }
}

// g = 1 at the first step: Delta = 1 / (1 + eps).
TEST(Optimiser, EpsilonMayChange) {
  for (const OptimiserKind algorithm :
       {OptimiserKind::kAdamW, OptimiserKind::kAdam, OptimiserKind::kAdagrad}) {
    nn::Param param = test::make_param(at::zeros({1}, at::kDouble));
    const auto optimiser = make_optimiser({&param}, spec_of(algorithm, 0));
    optimiser->set_eps(3);
    param.value.mutable_grad() = at::zeros({1}, at::kDouble).fill_(1);
    optimiser->step(1);
    EXPECT_NEAR(param.value.item<double>(), -0.25, 1e-15);
  }
}

TEST(Optimiser, NothingOverNothingIsNothing) {
  for (const OptimiserKind algorithm : kAll) {
    OptimSpec spec = spec_of(algorithm, 0);
    spec.eps = 0;
    EXPECT_EQ(left_after(spec, nn::Role::kMatrix), 2) << enum_name(algorithm);
  }
}

TEST(Optimiser, SaysWhichPathItTakes) {
  for (const OptimiserKind algorithm : kAll) {
    nn::Param param = test::make_param(at::ones({1, 1}));
    const nn::OpUse use = make_optimiser({&param}, spec_of(algorithm, 0))->op_uses().at(0);
    EXPECT_EQ(use.op, enum_name(algorithm));
    const bool kernel = algorithm == OptimiserKind::kAdamW || algorithm == OptimiserKind::kAdam ||
                        algorithm == OptimiserKind::kRAdam || algorithm == OptimiserKind::kMuon ||
                        algorithm == OptimiserKind::kMuonH;
    EXPECT_EQ(use.path, kernel ? OpPath::kFused : OpPath::kPlain);
    EXPECT_TRUE(use.thread_invariant);
  }
}

}  // namespace
}  // namespace evenkeel::optim
