#include "evenkeel/ops/dropout.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

TEST(DropoutMask, HasTheRightShareAndScale) {
  const at::Tensor mask = dropout_mask(test::random_normal({200000}, 1), 0.3, 1, "site", 0);
  // 200000 draws: the mean of the mask is 1 +- 0.0015 (one sigma).
  EXPECT_NEAR(mask.mean().item<double>(), 1, 0.008);
  EXPECT_NEAR(mask.max().item<double>(), 1 / 0.7, 1e-6);
  EXPECT_EQ(mask.min().item<double>(), 0);
}

TEST(DropoutMask, DependsOnEveryPartOfItsKeyAndNothingElse) {
  const at::Tensor like = test::random_normal({1000}, 1);
  const at::Tensor mask = dropout_mask(like, 0.5, 1, "a", 3);
  EXPECT_TRUE(mask.equal(dropout_mask(like * 2, 0.5, 1, "a", 3)));
  EXPECT_TRUE(mask.narrow(0, 0, 501).equal(dropout_mask(like.narrow(0, 0, 501), 0.5, 1, "a", 3)));
  EXPECT_FALSE(mask.equal(dropout_mask(like, 0.5, 2, "a", 3)));
  EXPECT_FALSE(mask.equal(dropout_mask(like, 0.5, 1, "b", 3)));
  EXPECT_FALSE(mask.equal(dropout_mask(like, 0.5, 1, "a", 4)));
}

}  // namespace
}  // namespace evenkeel::ops
