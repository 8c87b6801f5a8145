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
  float b() const { return second.value.grad().item<float>(); }
  nn::Param first, second;
};

// A6.
TEST(Clip, ScalesToTheLimit) {
  TwoNumbers g(3, 4);
  const ClipResult result = clip_global_norm(g.params(), 1);
  EXPECT_DOUBLE_EQ(result.norm, 5);
  EXPECT_DOUBLE_EQ(result.clipped, 1);
  EXPECT_FLOAT_EQ(g.a(), 0.6f);
  EXPECT_FLOAT_EQ(g.b(), 0.8f);
}

TEST(Clip, LeavesSmallGradientsToTheBit) {
  TwoNumbers g(0.3, 0.4);
  const ClipResult result = clip_global_norm(g.params(), 1);
  EXPECT_EQ(g.a(), 0.3f);
  EXPECT_EQ(g.b(), 0.4f);
  EXPECT_EQ(result.norm, result.clipped);
}

TEST(Clip, ZeroIsOff) {
  TwoNumbers g(3, 4);
  EXPECT_DOUBLE_EQ(clip_global_norm(g.params(), 0).clipped, 5);
  EXPECT_EQ(g.a(), 3);
}

TEST(Clip, ReportsANonFiniteNorm) {
  TwoNumbers nan(std::numeric_limits<double>::quiet_NaN(), 1),
      inf(std::numeric_limits<double>::infinity(), 1);
  EXPECT_TRUE(std::isnan(clip_global_norm(nan.params(), 1).norm));
  EXPECT_TRUE(std::isinf(clip_global_norm(inf.params(), 1).norm));
}

TEST(Clip, SquaresDoNotOverflow) {
  TwoNumbers g(3e30, 4e30);
  EXPECT_NEAR(clip_global_norm(g.params(), 1).norm, 5e30, 1e24);
  EXPECT_NEAR(g.a(), 0.6, 1e-6);
}

}  // namespace
}  // namespace evenkeel::optim
