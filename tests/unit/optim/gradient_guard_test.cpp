// Skipping and adaptive clipping against their equations, and what they leave alone.
#include "evenkeel/optim/gradient_guard.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/reduce.h"
#include "tests/support/parameters.h"

namespace evenkeel::optim {
namespace {

/// Values 1.9 and 2.1 in turn: mean 2, sample deviation 0.1 sqrt(100 / 99), threshold 2.6030227 at 6.
SkipStep after(int steps) {
  SkipStep skip(6);
  for (int i = 0; i < steps; ++i) EXPECT_FALSE(skip.skips(i % 2 == 0 ? 1.9 : 2.1, 1));
  return skip;
}

TEST(SkipStep, KnownAnswers) {
  EXPECT_FALSE(after(100).skips(2.6030, 1));
  EXPECT_TRUE(after(100).skips(2.6031, 1));
  EXPECT_TRUE(after(100).skips(2, 1.01)) << "a norm that never moved";
  EXPECT_FALSE(after(100).skips(0.1, 0.1)) << "only upwards";
  EXPECT_FALSE(after(62).skips(50, 1)) << "the 63rd value";
  EXPECT_TRUE(after(63).skips(50, 1)) << "the 64th";
}

// A skipped value is one of the past, so a plateau is accepted soon.
TEST(SkipStep, APlateauIsAccepted) {
  SkipStep skip = after(100);
  std::string skipped;
  for (int i = 0; i < 6; ++i) skipped += skip.skips(3, 1) ? '1' : '0';
  EXPECT_EQ(skipped, "110000");
}

TEST(SkipStep, OnlyTheLast128Count) {
  SkipStep skip(6);
  for (int i = 0; i < 10; ++i) skip.skips(1000, 1);
  for (int i = 0; i < 128; ++i) skip.skips(i % 2 == 0 ? 1.9 : 2.1, 1);
  EXPECT_TRUE(skip.skips(3, 1));
}

TEST(ZClip, KnownAnswers) {
  const auto from = [] {
    ZClip clip;
    clip.load({{"seen", ZClip::kFirst}, {"mean", 1.0}, {"variance", 0.04}});
    return clip;
  };
  ZClip above = from();
  EXPECT_NEAR(above.limit(2), 1.25, 1e-5);  // 1e-6 beside a deviation of 0.2
  EXPECT_NEAR(above.state()["mean"].get<double>(), 1.0075, 1e-6);
  EXPECT_NEAR(above.state()["variance"].get<double>(), 0.0405642, 1e-7);
  ZClip below = from();
  EXPECT_EQ(below.limit(1.4), 1.4);
  EXPECT_NEAR(below.state()["mean"].get<double>(), 1.012, 1e-12);
  EXPECT_NEAR(below.state()["variance"].get<double>(), 0.0433163, 1e-7);
}

TEST(ZClip, TheFirstNormsGiveMeanAndVariance) {
  ZClip clip;
  for (int i = 0; i < ZClip::kFirst; ++i) EXPECT_EQ(clip.limit(i), i);
  EXPECT_NEAR(clip.state()["mean"].get<double>(), 12, 1e-12);
  EXPECT_NEAR(clip.state()["variance"].get<double>(), 52, 1e-12);
}

TEST(AdaGc, KnownAnswers) {
  AdaGc clip;
  clip.load({{"seen", AdaGc::kFirst}, {"gamma", {1.0, 1.0, 0.0}}});
  EXPECT_THROW(clip.factors({3, 0.5}), InputError) << "the state of another model";
  const std::vector<double> factors = clip.factors({3, 0.5, 7});
  EXPECT_NEAR(factors[0], 0.35, 1e-15);
  EXPECT_EQ(factors[1], 1);
  EXPECT_EQ(factors[2], 1) << "a tensor without a past is not held at zero";
  const auto gamma = clip.state()["gamma"].get<std::vector<double>>();
  EXPECT_NEAR(gamma[0], 1.001, 1e-15);
  EXPECT_NEAR(gamma[1], 0.99, 1e-15);
  EXPECT_EQ(gamma[2], 7);
  clip.factors({0, 0, 0});
  EXPECT_EQ(clip.state()["gamma"], Json(gamma)) << "silence teaches nothing";
}

TEST(AdaGc, StartsAtTheLeastNormOfTheFirstSteps) {
  AdaGc clip;
  for (int i = 0; i < AdaGc::kFirst; ++i) {
    EXPECT_TRUE(clip.learns());
    clip.learn({10 + std::abs(50.0 - i), 0});
  }
  EXPECT_FALSE(clip.learns());
  EXPECT_EQ(clip.state()["gamma"], Json({10.0, 0.0}));
}

struct Two {
  Two() {
    large.value.mutable_grad() = at::full({4}, 3, at::kDouble);  // norm 6
    small.value.mutable_grad() = at::full({4}, 0.25, at::kDouble);
  }
  nn::Param large = test::make_param(at::ones({4}, at::kDouble)),
            small = test::make_param(at::ones({4}, at::kDouble));
  std::vector<nn::Param*> pointers() { return {&large, &small}; }
};

TEST(GradientGuard, WithoutTreatmentsItIsTheGlobalClip) {
  OptimSpec spec;
  GradientGuard guard(spec);
  Two two;
  const auto verdict = guard.judge(two.pointers(), 1);
  const ClipResult clip = measure_clip(two.pointers(), 1);
  EXPECT_EQ(verdict.factor, clip.factor);
  EXPECT_EQ(verdict.norm, clip.norm);
  EXPECT_EQ(verdict.clipped, clip.clipped);
  EXPECT_FALSE(verdict.skip || verdict.limit || verdict.clipped_tensors);
  EXPECT_EQ(guard.state(), Json::object());
}

TEST(GradientGuard, TheStricterOfZClipAndTheGlobalClipCounts) {
  for (const double clip_norm : {0.0, 3.0, 0.5}) {
    OptimSpec spec;
    spec.adaptive_clip = AdaptiveClip::kZClip;
    spec.clip_norm = clip_norm;
    GradientGuard guard(spec);
    guard.load({{"zclip", {{"seen", ZClip::kFirst}, {"mean", 1.0}, {"variance", 0.04}}}});
    Two two;
    const auto verdict = guard.judge(two.pointers(), 1);
    ASSERT_TRUE(verdict.limit);
    EXPECT_LT(*verdict.limit, 1.1) << "far out, so clipped to little above the mean";
    EXPECT_EQ(verdict.clipped, clip_norm == 0.5 ? 0.5 : *verdict.limit);
    EXPECT_NEAR(verdict.factor * verdict.norm, verdict.clipped, 1e-12);
  }
}

TEST(GradientGuard, AdaGcClipsTensorsApart) {
  OptimSpec spec;
  spec.adaptive_clip = AdaptiveClip::kAdaGc;
  GradientGuard guard(spec);
  guard.load({{"adagc", {{"seen", AdaGc::kFirst}, {"gamma", {1.0, 1.0}}}}});
  Two two;
  const auto verdict = guard.judge(two.pointers(), 1);
  EXPECT_EQ(verdict.factor, 1);
  EXPECT_EQ(*verdict.clipped_tensors, 0.5);
  EXPECT_NEAR(std::sqrt(ops::sum_squares(two.large.value.grad())), 1.05, 1e-12);
  EXPECT_EQ(two.small.value.grad()[0].item<double>(), 0.25);
  EXPECT_NEAR(verdict.clipped, std::sqrt(1.05 * 1.05 + 0.25), 1e-12);
}

// A run that became non-finite ends; nothing of it may enter a window.
TEST(GradientGuard, NonFiniteNumbersChangeNoState) {
  for (const AdaptiveClip kind : {AdaptiveClip::kZClip, AdaptiveClip::kAdaGc}) {
    OptimSpec spec;
    spec.adaptive_clip = kind;
    spec.skip_step = 6;
    GradientGuard guard(spec);
    Two two;
    guard.judge(two.pointers(), 1);
    const Json before = guard.state();
    EXPECT_FALSE(guard.judge(two.pointers(), std::numeric_limits<double>::quiet_NaN()).skip);
    two.large.value.mutable_grad()[0] = std::numeric_limits<double>::infinity();
    EXPECT_FALSE(guard.judge(two.pointers(), 1).skip);
    EXPECT_EQ(guard.state(), before);
    GradientGuard other(spec);
    other.load(before);
    EXPECT_EQ(other.state(), before);
  }
}

}  // namespace
}  // namespace evenkeel::optim
