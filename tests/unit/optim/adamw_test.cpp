#include "evenkeel/optim/adamw.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/ops/adamw.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/optim/clip.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"

namespace evenkeel::optim {
namespace {

at::Tensor scalar(double x) {
  return at::empty({1}, at::kDouble).fill_(x);
}

OptimSpec spec_with(double lr, DecayForm form, double lambda) {
  OptimSpec spec;
  spec.lr = lr;
  spec.decay_form = form;
  spec.weight_decay = lambda;
  return spec;
}

double value_after(const OptimSpec& spec, double lr, int steps, double gradient,
                   nn::Role role = nn::Role::kMatrix) {
  nn::Param param = test::make_param(scalar(1), role);
  AdamW optimiser({&param}, spec);
  for (int i = 0; i < steps; ++i) {
    param.value.mutable_grad() = scalar(gradient);
    optimiser.step(lr);
  }
  return param.value.item<double>();
}

// A3, constant schedule: 1000 steps without gradient.
TEST(AdamW, DecayForms) {
  for (const double lr : {1e-3, 0.3})
    EXPECT_NEAR(value_after(spec_with(lr, DecayForm::kIndependent, 1e-4), lr, 1000, 0), 0.9048329, 5e-8);
  EXPECT_NEAR(value_after(spec_with(0.3, DecayForm::kCoupled, 0.1), 0.3, 1000, 0), 5.9e-14, 0.05e-14);
}

TEST(AdamW, IndependentDecayFollowsTheScheduleAndCoupledTheRate) {
  // s = 1/4: independent removes lambda / 4, coupled lr lambda.
  EXPECT_DOUBLE_EQ(value_after(spec_with(0.4, DecayForm::kIndependent, 0.2), 0.1, 1, 0), 1 - 0.05);
  EXPECT_DOUBLE_EQ(value_after(spec_with(0.4, DecayForm::kCoupled, 0.2), 0.1, 1, 0), 1 - 0.02);
}

TEST(AdamW, GainsAndBiasesAreSparedUnlessAsked) {
  OptimSpec spec = spec_with(0.1, DecayForm::kIndependent, 0.5);
  EXPECT_EQ(value_after(spec, 0.1, 1, 0, nn::Role::kGain), 1);
  EXPECT_EQ(value_after(spec, 0.1, 1, 0, nn::Role::kBias), 1);
  EXPECT_EQ(value_after(spec, 0.1, 1, 0, nn::Role::kEmbedding), 0.5);
  EXPECT_EQ(value_after(spec, 0.1, 1, 0, nn::Role::kHead), 0.5);
  spec.decay_gains = true;
  EXPECT_EQ(value_after(spec, 0.1, 1, 0, nn::Role::kGain), 0.5);
}

// A5, first step with bias correction: Delta = g / (|g| + eps).
TEST(AdamW, FirstStepSize) {
  const auto delta = [](double gradient, double eps) {
    OptimSpec spec = spec_with(1, DecayForm::kIndependent, 0);
    spec.eps = eps;
    return 1 - value_after(spec, 1, 1, gradient);
  };
  EXPECT_NEAR(delta(1e-8, 1e-8), 0.5, 1e-9);
  EXPECT_NEAR(delta(1e-9, 1e-8), 0.0909, 5e-5);
  EXPECT_NEAR(delta(1e-8, 1e-15), 1, 1e-6);
  EXPECT_EQ(delta(0, 0), 0);
}

// The same in fp32, which trains: gradients far below 1 and eps must survive the squaring. 1e-6 is some
// roundings.
TEST(AdamW, FirstStepSizeInFp32) {
  const auto delta = [](float gradient, double eps) {
    float p = 0, m = 0, v = 0;
    ops::AdamWSquares squares;
    kernels::adamw(&p, &gradient, &m, &v, 1, {1, 0, 0.9, 0.95, eps, 0.1, 0.05}, &squares);
    EXPECT_NEAR(std::sqrt(squares.delta), -p, 1e-7);  // lr 1, no decay: Delta is the update
    return -p;
  };
  EXPECT_NEAR(delta(1e-8f, 1e-8), 0.5, 1e-6);
  EXPECT_NEAR(delta(1e-9f, 1e-8), 1.0 / 11, 1e-6);
  EXPECT_NEAR(delta(1e-8f, 1e-15), 1, 1e-6);
}

// A5: root mean square of Delta on independent N(0, 1) gradients, eps = 0.
TEST(AdamW, NoiseStepSize) {
  const int steps = 200000, burn_in = 200;
  at::Tensor p = scalar(0), m = scalar(0), v = scalar(0), g = scalar(0);
  Rng rng(1, "test/noise");
  std::vector<ops::AdamWSquares> squares;
  double updates = 0;
  for (int t = 1; t <= steps; ++t) {
    g.fill_(rng.normal());
    ops::adamw_({{p, g, m, v}}, {1, 0, 0.9, 0.95, 0, 1 - std::pow(0.9, t), 1 - std::pow(0.95, t)}, &squares);
    if (t > burn_in) updates += squares[0].update;
  }
  EXPECT_NEAR(std::sqrt(updates / (steps - burn_in)), 0.225, 0.004);
}

// Twenty steps of the equations as they are printed, one number at a time.
void expect_equal_to_naive_loop(at::ScalarType type, double tolerance) {
  const std::int64_t n = 2051;  // not a multiple of the kernel's block
  for (const DecayForm form : {DecayForm::kIndependent, DecayForm::kCoupled}) {
    const OptimSpec spec = spec_with(0.05, form, 0.1);
    nn::Param param = test::make_param(test::random_normal({n}, 1, type));
    const at::Tensor start = param.value.detach().to(at::kDouble).clone();
    std::vector<double> p(start.data_ptr<double>(), start.data_ptr<double>() + n), m(n), v(n);
    AdamW optimiser({&param}, spec);
    for (int t = 1; t <= 20; ++t) {
      const double lr = 0.05 * std::min(1.0, t / 5.0);
      const at::Tensor gradient = test::random_normal({n}, static_cast<std::uint64_t>(100 + t), type);
      param.value.mutable_grad() = gradient;
      optimiser.step(lr);
      const at::Tensor g = gradient.to(at::kDouble);
      for (std::int64_t i = 0; i < n; ++i) {
        const auto j = static_cast<std::size_t>(i);
        const double x = g.data_ptr<double>()[i];
        m[j] = 0.9 * m[j] + (1 - 0.9) * x;
        v[j] = 0.95 * v[j] + (1 - 0.95) * x * x;
        const double delta =
            m[j] / (1 - std::pow(0.9, t)) / (std::sqrt(v[j] / (1 - std::pow(0.95, t))) + 1e-8);
        p[j] -= lr * delta + (form == DecayForm::kIndependent ? lr / 0.05 * 0.1 : lr * 0.1) * p[j];
      }
    }
    const at::Tensor end = param.value.detach().to(at::kDouble);
    for (std::int64_t i = 0; i < n; ++i)
      ASSERT_NEAR(end.data_ptr<double>()[i], p[static_cast<std::size_t>(i)], tolerance) << i;
  }
}

TEST(AdamW, EqualsANaiveLoopInDouble) {
  expect_equal_to_naive_loop(at::kDouble, 1e-13);
}
// Weights of order 1 rounded in each of 20 steps: 20 * 6e-8, and as much again from the moments.
TEST(AdamW, EqualsANaiveLoopInFloat) {
  expect_equal_to_naive_loop(at::kFloat, 3e-6);
}

TEST(AdamW, StatisticsAreRightAndChangeNothing) {
  const OptimSpec spec = spec_with(0.05, DecayForm::kIndependent, 0.1);
  nn::Param plain = test::make_param(test::random_normal({40, 50}, 1, at::kFloat));
  nn::Param measured = test::make_param(plain.value.detach().clone());
  AdamW one({&plain}, spec), two({&measured}, spec);
  std::vector<UpdateStats> stats;
  for (int t = 0; t < 3; ++t) {
    const at::Tensor gradient = test::random_normal({40, 50}, static_cast<std::uint64_t>(t), at::kFloat);
    plain.value.mutable_grad() = gradient.clone();
    measured.value.mutable_grad() = gradient.clone();
    const at::Tensor before = measured.value.detach().clone();
    one.step(0.05);
    two.step(0.05, &stats);
    ASSERT_EQ(stats.size(), 1u);
    EXPECT_DOUBLE_EQ(stats[0].grad_rms, ops::rms(gradient));
    EXPECT_DOUBLE_EQ(stats[0].param_rms, ops::rms(before));
    // The difference of rounded weights carries their rounding, 6e-8 of a number of order 1.
    EXPECT_NEAR(stats[0].update_rms, ops::rms(before.sub(measured.value.detach())), 1e-7);
    EXPECT_TRUE(plain.value.detach().equal(measured.value.detach()));
  }
}

/// Around the chunk size of the parallel pass.
const std::vector<std::int64_t> kAroundChunk{1, 17, 16383, 16384, 16385, 40000, 5};
const OptimSpec kSpec = spec_with(0.05, DecayForm::kIndependent, 0.1);

TEST(AdamW, ClipsAsItReadsToTheBit) {
  test::Several scaled(kAroundChunk), on_the_fly(kAroundChunk);
  const ClipResult clip = measure_clip(on_the_fly.pointers(), 1);
  for (const nn::Param& param : scaled.params)
    if (param.value.grad().defined()) param.value.mutable_grad().mul_(clip.factor);
  EXPECT_LT(clip.factor, 0.01);
  std::vector<UpdateStats> one, two;
  AdamW(scaled.pointers(), kSpec).step(0.05, &one);
  AdamW(on_the_fly.pointers(), kSpec).step(0.05, &two, clip.factor);
  EXPECT_TRUE(scaled.equals(on_the_fly));
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].grad_rms, two[i].grad_rms);
}

TEST(AdamW, BitsDependNeitherOnThreadsNorOnStatistics) {
  struct Run {
    double norm;
    test::Several several{kAroundChunk};
    std::vector<UpdateStats> stats;
  };
  const auto run = [](int threads, bool record) {
    ops::set_threads(threads);
    Run r;
    r.norm = measure_clip(r.several.pointers(), 1).norm;
    AdamW optimiser(r.several.pointers(), kSpec);
    for (int t = 0; t < 3; ++t) optimiser.step(0.05, record ? &r.stats : nullptr, 0.5);
    ops::set_threads(1);
    return r;
  };
  test::with_each_instruction_set([&] {
    const Run one = run(1, true);
    for (const Run& other : {run(2, true), run(3, true), run(1, false)}) {
      EXPECT_EQ(one.norm, other.norm);
      EXPECT_TRUE(one.several.equals(other.several));
      for (std::size_t i = 0; i < other.stats.size(); ++i) {
        EXPECT_EQ(one.stats[i].grad_rms, other.stats[i].grad_rms);
        EXPECT_EQ(one.stats[i].param_rms, other.stats[i].param_rms);
        EXPECT_EQ(one.stats[i].update_rms, other.stats[i].update_rms);
        EXPECT_EQ(one.stats[i].delta_rms, other.stats[i].delta_rms);
      }
    }
  });
}

TEST(AdamW, EveryInstructionSetEqualsDouble) {
  test::with_each_instruction_set([] {
    test::Several fast(kAroundChunk), exact(kAroundChunk, at::kDouble);
    std::vector<UpdateStats> one, two;
    AdamW a(fast.pointers(), kSpec), b(exact.pointers(), kSpec);
    for (int t = 0; t < 3; ++t) {
      a.step(0.05, &one, 0.7);
      b.step(0.05, &two, 0.7);
    }
    for (std::size_t i = 0; i < fast.params.size(); ++i) {
      const at::Tensor error =
          fast.params[i].value.detach().to(at::kDouble).sub(exact.params[i].value.detach());
      EXPECT_LT(error.abs().max().item<double>(), 1e-6);  // weights up to 4, rounded in each of 3 steps
      EXPECT_NEAR(one[i].grad_rms, two[i].grad_rms, 1e-6);
      EXPECT_NEAR(one[i].update_rms, two[i].update_rms, 1e-6);
      EXPECT_NEAR(one[i].delta_rms, two[i].delta_rms, 1e-6);
    }
  });
}

TEST(AdamW, NonFiniteGradientGivesANonFiniteWeight) {
  test::with_each_instruction_set([] {
    test::Several several(kAroundChunk);
    several.params[4].value.mutable_grad()[16384] = std::nan("");
    EXPECT_TRUE(std::isnan(measure_clip(several.pointers(), 1).norm));
    std::vector<UpdateStats> stats;
    AdamW(several.pointers(), kSpec).step(0.05, &stats);
    EXPECT_TRUE(std::isnan(several.params[4].value[16384].item<double>()));
    EXPECT_TRUE(std::isnan(stats[4].grad_rms));
    EXPECT_TRUE(std::isfinite(stats[3].grad_rms));
  });
}

TEST(AdamW, GoesOnFromSavedState) {
  const OptimSpec spec = spec_with(0.05, DecayForm::kIndependent, 0.1);
  nn::Param whole = test::make_param(test::random_normal({33}, 1, at::kFloat));
  AdamW straight({&whole}, spec);
  const auto gradient = [](int t) {
    return test::random_normal({33}, static_cast<std::uint64_t>(t), at::kFloat);
  };
  for (int t = 0; t < 3; ++t) {
    whole.value.mutable_grad() = gradient(t);
    straight.step(0.05);
  }
  nn::Param copy = test::make_param(whole.value.detach().clone());
  AdamW resumed({&copy}, spec);
  const auto saved = straight.state(0), target = resumed.state(0);
  ASSERT_EQ(saved.size(), 2u);
  EXPECT_EQ(saved[0].first, "exp_avg/w");
  EXPECT_EQ(saved[1].first, "exp_avg_sq/w");
  for (std::size_t i = 0; i < saved.size(); ++i) target[i].second.copy_(saved[i].second);
  resumed.set_steps(straight.steps());
  for (int t = 3; t < 6; ++t) {
    whole.value.mutable_grad() = gradient(t);
    copy.value.mutable_grad() = gradient(t);
    straight.step(0.05);
    resumed.step(0.05);
  }
  EXPECT_TRUE(whole.value.detach().equal(copy.value.detach()));
}

// A16: what pure noise does to weights. Without decay their RMS grows as the root of the steps; with it the
// walk ends where both balance.
TEST(AdamW, NoiseWalksAndDecayEndsTheWalk) {
  const auto rms_after = [](int steps, double lambda) {
    OptimSpec spec = spec_with(1, DecayForm::kIndependent, lambda);
    nn::Param walkers = test::make_param(at::zeros({4000}, at::kFloat));
    AdamW adamw({&walkers}, spec);
    for (int t = 1; t <= steps; ++t) {
      walkers.value.mutable_grad() = test::random_normal({4000}, static_cast<std::uint64_t>(t), at::kFloat);
      adamw.step(1);
    }
    return ops::rms(walkers.value.detach());
  };
  EXPECT_NEAR(rms_after(400, 0), 20, 1);
  EXPECT_NEAR(rms_after(1000, 0.005), 9.6, 0.5);
}

}  // namespace
}  // namespace evenkeel::optim
