#include "evenkeel/ops/cross_entropy.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

at::Tensor ids(std::vector<std::int64_t> values) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), t.data_ptr<std::int64_t>());
  return t;
}
at::Tensor rows(std::int64_t n, std::vector<double> values) {
  at::Tensor t = at::empty({n, static_cast<std::int64_t>(values.size()) / n}, at::kDouble);
  std::copy(values.begin(), values.end(), t.data_ptr<double>());
  return t;
}

// A7.
TEST(CrossEntropy, KnownAnswer) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const double slack =
        type == at::kDouble ? 5e-8 : 4e-7;  // half of the last printed digit; fp32 rounding of log Z = 3.4
    const at::Tensor y = rows(1, {1, 2, 3}).to(type).set_requires_grad(true);
    const Loss loss = cross_entropy(y, ids({2}), 1e-4);
    EXPECT_NEAR(loss.mean_log_z, 3.4076060, slack);
    EXPECT_NEAR(loss.ce, 0.4076060, slack);
    EXPECT_NEAR(loss.z, 1.161178e-3, slack);
    EXPECT_NEAR(loss.total.item<double>(), loss.ce + loss.z, slack);
    loss.total.backward();
    const at::Tensor g = y.grad().to(at::kDouble);
    EXPECT_NEAR(g[0][0].item<double>(), 0.0900919, slack);
    EXPECT_NEAR(g[0][1].item<double>(), 0.2448953, slack);
    EXPECT_NEAR(g[0][2].item<double>(), -0.3343057, slack);
    EXPECT_NEAR(g.sum().item<double>(), 6.8152e-4, slack);
  }
}

TEST(CrossEntropy, PenaltyIsTheMeanOfSquares) {
  // log Z = +3 and -3: two equal logits of log Z - ln 2.
  const double a = 3 - std::log(2), b = -3 - std::log(2);
  const Loss loss = cross_entropy(rows(2, {a, a, b, b}), ids({0, 1}), 0.01);
  EXPECT_NEAR(loss.z, 9 * 0.01, 1e-12);
  EXPECT_NEAR(loss.mean_log_z, 0, 1e-12);
}

TEST(CrossEntropy, GradientMatchesDifferencesAndThePlainForm) {
  at::Tensor y = test::random_normal({5, 7}, 3);
  const at::Tensor targets = ids({0, 6, 3, 3, 1});
  for (const double c : {0.0, 1e-4, 0.3}) {
    EXPECT_LT(test::gradient_error([&] { return cross_entropy(y, targets, c).total; }, {y}), 1e-8);
    const at::Tensor fused = y.grad().clone();
    y.mutable_grad() = at::Tensor();
    cross_entropy_plain(y, targets, c).backward();
    EXPECT_LT(fused.sub(y.grad()).abs().max().item<double>(), 1e-15);
    EXPECT_NEAR(cross_entropy(y, targets, c).total.item<double>(),
                cross_entropy_plain(y, targets, c).item<double>(), 1e-14);
  }
}

TEST(CrossEntropy, SurvivesHugeLogits) {
  const at::Tensor y = rows(1, {3e4, -3e4, 0}).to(at::kFloat).set_requires_grad(true);
  const Loss loss = cross_entropy(y, ids({0}), 0);
  EXPECT_EQ(loss.ce, 0);
  loss.total.backward();
  EXPECT_EQ(y.grad().abs().max().item<double>(), 0);
}

TEST(CrossEntropy, NonFiniteLogitsGiveANonFiniteLoss) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(std::isfinite(cross_entropy(rows(1, {inf, 0}), ids({0}), 0).ce));
  EXPECT_FALSE(std::isfinite(cross_entropy(rows(1, {std::nan(""), 0}), ids({0}), 0).ce));
}

TEST(CrossEntropy, MeanLogitOverGivenIds) {
  EXPECT_NEAR(mean_logit(rows(2, {1, 2, 3, 5, 6, 7}), ids({0, 2})), (1 + 3 + 5 + 7) / 4.0, 1e-12);
}

}  // namespace
}  // namespace evenkeel::ops
