#include "evenkeel/optim/schedule.h"

#include <gtest/gtest.h>

namespace evenkeel::optim {
namespace {

// A4: peak 1e-2, warm-up 5000 of 1e5 steps, floor 1e-5.
TEST(Schedule, KnownPoints) {
  const Schedule s(1e-2, 1e-5, 5000, 100000);
  EXPECT_DOUBLE_EQ(s.at(0), 0);
  EXPECT_DOUBLE_EQ(s.at(2500), 5e-3);
  EXPECT_DOUBLE_EQ(s.at(5000), 1e-2);
  EXPECT_NEAR(s.at(52500), 5.005e-3, 1e-12);
  EXPECT_NEAR(s.at(100000), 1e-5, 1e-15);
}

TEST(Schedule, UpdatesStartAboveZeroAndPeakAtTheEndOfWarmUp) {
  const Schedule s(1e-2, 1e-5, 40, 300);
  EXPECT_DOUBLE_EQ(s.rate(1), 1e-2 / 40);
  EXPECT_DOUBLE_EQ(s.rate(40), 1e-2);
  EXPECT_DOUBLE_EQ(s.rate(41), 1e-2);
  for (std::int64_t n = 42; n <= 300; ++n) {
    EXPECT_LT(s.rate(n), s.rate(n - 1));
    EXPECT_GT(s.rate(n), 1e-5);
  }
}

TEST(Schedule, WithoutWarmUpStartsAtThePeak) {
  EXPECT_DOUBLE_EQ(Schedule(0.3, 1e-5, 0, 10).rate(1), 0.3);
}

TEST(Schedule, AllWarmUpEndsAtThePeak) {
  EXPECT_DOUBLE_EQ(Schedule(0.3, 1e-5, 10, 10).rate(10), 0.3);
}

TEST(Schedule, FloorNeverRaisesASmallPeak) {
  const Schedule s(1e-6, 1e-5, 0, 10);
  for (std::int64_t n = 1; n <= 10; ++n) EXPECT_DOUBLE_EQ(s.rate(n), 1e-6);
}

// A3: what is left of a weight after a whole schedule of decay with zero gradient, 5 digits as printed there.
TEST(Schedule, IndependentDecayOverARunDoesNotDependOnThePeak) {
  for (const double peak : {1e-3, 1e-2, 0.3}) {
    const Schedule s(peak, 0, 5000, 100000);
    double independent = 1, coupled = 1;
    for (std::int64_t n = 1; n <= 100000; ++n) {
      independent *= 1 - s.rate(n) / peak * 1e-4;
      coupled *= 1 - s.rate(n) * 0.1;
    }
    EXPECT_NEAR(independent, 0.0067360, 5e-8);
    if (peak == 1e-3) {
      EXPECT_NEAR(coupled, 0.0067360, 5e-8);
    }
  }
}

Experiment of_1000_steps(ScheduleKind kind) {
  Experiment e;
  e.train.steps = 1000;
  e.optim.lr = 0.1;
  e.optim.warmup = Duration{100};
  e.optim.schedule = kind;
  return e;
}

TEST(Schedule, ConstantStepAndInverseSquareRoot) {
  const Schedule constant(of_1000_steps(ScheduleKind::kConstant)), step(of_1000_steps(ScheduleKind::kStep)),
      root(of_1000_steps(ScheduleKind::kInverseSqrt));
  for (const Schedule* s : {&constant, &step, &root}) EXPECT_DOUBLE_EQ(s->rate(50), 0.05);
  EXPECT_DOUBLE_EQ(constant.rate(1000), 0.1);
  EXPECT_DOUBLE_EQ(step.rate(840), 0.1);
  EXPECT_DOUBLE_EQ(step.rate(841), 0.01);
  EXPECT_DOUBLE_EQ(root.at(100), 0.1);
  EXPECT_DOUBLE_EQ(root.at(400), 0.05);
}

TEST(Schedule, LinearAndPolynomialEndAtTheFloor) {
  Experiment e = of_1000_steps(ScheduleKind::kLinear);
  e.optim.lr_floor = 0.01;
  const Schedule linear(e);
  e.optim.schedule = ScheduleKind::kPolynomial;
  const Schedule square(e);
  for (const Schedule* s : {&linear, &square}) {
    EXPECT_DOUBLE_EQ(s->rate(50), 0.05);
    EXPECT_DOUBLE_EQ(s->at(100), 0.1);
    EXPECT_DOUBLE_EQ(s->at(1000), 0.01);
  }
  // A third of the way from 100 to 1000 two thirds are left.
  EXPECT_NEAR(linear.at(400), 0.01 + 0.09 * 2 / 3, 1e-15);
  EXPECT_NEAR(square.at(400), 0.01 + 0.09 * 4 / 9, 1e-15);
}

// Peak 1e-3, warm-up 100 of 1000, the last 200 decay.
TEST(Schedule, WarmUpStableDecay) {
  Experiment e = of_1000_steps(ScheduleKind::kWsd);
  e.optim.lr = 1e-3;
  e.optim.lr_floor = 0;
  const Schedule linear(e);
  e.optim.schedule = ScheduleKind::kWsdSqrt;
  const Schedule root(e);
  for (const Schedule* s : {&linear, &root}) {
    EXPECT_DOUBLE_EQ(s->at(50), 5e-4);
    for (const double x : {100.0, 500.0, 800.0}) EXPECT_DOUBLE_EQ(s->at(x), 1e-3);
    EXPECT_NEAR(s->at(1000), 0, 1e-18);
    EXPECT_EQ(s->rate(801), 1e-3);
  }
  EXPECT_DOUBLE_EQ(linear.at(900), 5e-4);
  EXPECT_DOUBLE_EQ(root.at(850), 5e-4);
  EXPECT_NEAR(root.at(900), 2.928932e-4, 1e-10);
  e.optim.cooldown = Duration{100, Duration::Unit::kPercent};
  const Schedule all(e);  // decay begins where warm-up ends
  EXPECT_DOUBLE_EQ(all.at(100), 1e-3);
  EXPECT_NEAR(all.at(325), 5e-4, 1e-15);
}

TEST(Schedule, AChangeActsOnItsUpdatesOnly) {
  Experiment e = of_1000_steps(ScheduleKind::kCosine);
  const Schedule plain(e);
  e.change.at = Duration{40};
  e.change.until = Duration{120};
  e.change.lr_factor = 3;
  const Schedule factor(e);
  e.change.lr_factor = 1;
  e.change.end_warmup = true;
  const Schedule jump(e);
  for (const std::int64_t n : {1, 40, 121, 1000}) {
    EXPECT_EQ(factor.rate(n), plain.rate(n));
    EXPECT_EQ(jump.rate(n), plain.rate(n));
  }
  for (const std::int64_t n : {41, 100, 120}) EXPECT_EQ(factor.rate(n), 3 * plain.rate(n));
  EXPECT_EQ(jump.rate(41), 0.1);
  EXPECT_EQ(jump.rate(120), plain.rate(120));
}

}  // namespace
}  // namespace evenkeel::optim
