#include "evenkeel/optim/clip.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace evenkeel::optim {
namespace {

struct TwoNumbers {
  TwoNumbers(double a, double b) {
    first.value = at::empty({1}, at::kFloat).fill_(0).set_requires_grad(true);
    second.value = at::empty({1}, at::kFloat).fill_(0).set_requires_grad(true);
    first.value.mutable_grad() = at::empty({1}, at::kFloat).fill_(a);
    second.value.mutable_grad() = at::empty({1}, at::kFloat).fill_(b);
  }
  std::vector<nn::Param*> params() { return {&first, &second}; }
  float a() const { return first.value.grad().item<float>(); }
  nn::Param first, second;
};

// A6.
TEST(Clip, ScalesToTheLimit) {
  TwoNumbers g(3, 4);
  const ClipResult result = measure_clip(g.params(), 1);
  EXPECT_DOUBLE_EQ(result.norm, 5);
  EXPECT_DOUBLE_EQ(result.clipped, 1);
  EXPECT_DOUBLE_EQ(result.factor, 0.2);
  EXPECT_EQ(g.a(), 3) << "the optimiser applies it";
  EXPECT_EQ(result.norms, (std::vector<double>{3, 4}));
}

TEST(Clip, LeavesSmallGradientsToTheBit) {
  TwoNumbers g(0.3, 0.4);
  const ClipResult result = measure_clip(g.params(), 1);
  EXPECT_EQ(result.factor, 1);
  EXPECT_EQ(result.norm, result.clipped);
}

TEST(Clip, ZeroIsOff) {
  TwoNumbers g(3, 4);
  EXPECT_DOUBLE_EQ(measure_clip(g.params(), 0).clipped, 5);
  EXPECT_EQ(measure_clip(g.params(), 0).factor, 1);
}

TEST(Clip, ReportsANonFiniteNorm) {
  TwoNumbers nan(std::numeric_limits<double>::quiet_NaN(), 1),
      inf(std::numeric_limits<double>::infinity(), 1);
  EXPECT_TRUE(std::isnan(measure_clip(nan.params(), 1).norm));
  EXPECT_TRUE(std::isinf(measure_clip(inf.params(), 1).norm));
}

TEST(Clip, SquaresDoNotOverflow) {
  TwoNumbers g(3e30, 4e30);
  EXPECT_NEAR(measure_clip(g.params(), 1).norm, 5e30, 1e24);
  EXPECT_NEAR(g.a() * measure_clip(g.params(), 1).factor, 0.6, 1e-6);
}

}  // namespace
}  // namespace evenkeel::optim
