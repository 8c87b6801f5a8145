#include "evenkeel/ops/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tanh.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/ops/threads.h"
#include "tests/support/gradcheck.h"
#include "tests/support/instruction_sets.h"
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
    const Loss loss = cross_entropy_plain(y, ids({2}), {1e-4});
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
  const Loss loss = cross_entropy_plain(rows(2, {a, a, b, b}), ids({0, 1}), {0.01});
  EXPECT_NEAR(loss.z, 9 * 0.01, 1e-12);
  EXPECT_NEAR(loss.mean_log_z, 0, 1e-12);
}

TEST(CrossEntropy, GradientMatchesDifferencesAndTheFormula) {
  at::Tensor y = test::random_normal({5, 7}, 3);
  const at::Tensor targets = ids({0, 6, 3, 3, 1});
  for (const double c : {0.0, 1e-4, 0.3}) {
    EXPECT_LT(test::gradient_error([&] { return cross_entropy_plain(y, targets, {c}).total; }, {y}), 1e-8);
    const at::Tensor log_z = y.detach().logsumexp(1, true);
    at::Tensor expected = (y.detach() - log_z).exp() * (1 + 2 * c * log_z);
    for (std::int64_t i = 0; i < 5; ++i) expected[i][targets[i].item<std::int64_t>()] -= 1;
    EXPECT_LT((expected / 5 - y.grad()).abs().max().item<double>(), 1e-15);
    y.mutable_grad() = at::Tensor();
  }
}

TEST(CrossEntropy, SurvivesHugeLogits) {
  const at::Tensor y = rows(1, {3e4, -3e4, 0}).to(at::kFloat).set_requires_grad(true);
  const Loss loss = cross_entropy_plain(y, ids({0}), {0});
  EXPECT_EQ(loss.ce, 0);
  loss.total.backward();
  EXPECT_EQ(y.grad().abs().max().item<double>(), 0);
}

TEST(CrossEntropy, NonFiniteLogitsGiveANonFiniteLoss) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(std::isfinite(cross_entropy_plain(rows(1, {inf, 0}), ids({0})).ce));
  EXPECT_FALSE(std::isfinite(cross_entropy_plain(rows(1, {std::nan(""), 0}), ids({0})).ce));
}

TEST(CrossEntropy, MeanLogitOverGivenIds) {
  const at::Tensor occurring = ids({1, 0, 1}).to(at::kBool);
  const Loss loss = cross_entropy_plain(rows(2, {1, 2, 3, 5, 6, 7}), ids({0, 0}), {0, 0, occurring});
  EXPECT_NEAR(loss.mean_logit, (1 + 3 + 5 + 7) / 4.0, 1e-12);
}

struct Batch {
  at::Tensor logits, targets;
  LossSpec spec;
};

/// Logits that bf16 holds exactly; some rows without target.
Batch batch(std::int64_t n, std::int64_t vocab, bool padding, double c, double smoothing) {
  Batch b{
      test::random_normal({n, vocab}, 1).mul(3).to(at::kBFloat16).to(at::kDouble), {}, {c, smoothing, {}}};
  b.targets = at::empty({n}, at::kLong);
  Rng rng(2, "test/targets");
  for (std::int64_t i = 0; i < n; ++i)
    b.targets.data_ptr<std::int64_t>()[i] =
        padding && i % 3 == 1 ? -1 : static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(vocab)));
  b.spec.occurring = test::random_normal({vocab}, 3).gt(-0.5);
  b.spec.occurring[0] = true;
  return b;
}

void expect_in_place_equals_plain(const Batch& b, at::ScalarType type) {
  SCOPED_TRACE(testing::Message() << b.logits.sizes() << " " << type);
  const at::Tensor exact = b.logits.clone().set_requires_grad(true);
  const Loss expected = cross_entropy_plain(exact, b.targets, b.spec);
  expected.total.backward();
  const at::Tensor leaf = b.logits.to(type).set_requires_grad(true), y = leaf * 1;
  const Loss got = cross_entropy_(y, b.targets, b.spec);
  // fp32 exponentials good to 3e-7 and sums of V of them; the loss is of order 10.
  EXPECT_NEAR(got.total.item<double>(), expected.total.item<double>(), 1e-5);
  EXPECT_NEAR(got.ce, expected.ce, 5e-6);
  EXPECT_NEAR(got.z, expected.z, 1e-5 * b.spec.z_coefficient * 100);
  EXPECT_NEAR(got.mean_log_z, expected.mean_log_z, 5e-6);
  EXPECT_NEAR(got.mean_logit, expected.mean_logit, 5e-6);
  got.total.backward();
  const at::Tensor g = leaf.grad().to(at::kDouble);
  const double largest = exact.grad().abs().max().item<double>();
  // bf16 has 8 bits.
  EXPECT_LE(g.sub(exact.grad()).abs().max().item<double>(), (type == at::kFloat ? 2e-6 : 4e-3) * largest);
  EXPECT_EQ(y.data_ptr(), y.detach().data_ptr());
  EXPECT_TRUE(y.detach().equal(leaf.grad()));  // the gradient lies where the logits were
}

TEST(CrossEntropyInPlace, EqualsThePlainFormAtEveryShape) {
  test::with_each_instruction_set([] {
    for (const std::int64_t vocab : {1, 2, 5, 16, 17, 33, 65, 130, 512})
      for (const std::int64_t n : {1, 3, 70})
        for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
          for (const bool all : {false, true})
            expect_in_place_equals_plain(batch(n, vocab, all, all ? 1e-2 : 0, all ? 0.1 : 0), type);
  });
}

TEST(CrossEntropyInPlace, InDoubleThePlainFormRuns) {
  Batch b = batch(6, 7, true, 0.3, 0.2);
  EXPECT_LT(
      test::gradient_error([&] { return cross_entropy_(b.logits, b.targets, b.spec).total; }, {b.logits}),
      1e-8);
}

TEST(CrossEntropyInPlace, UpstreamFactorScalesTheGradient) {
  const Batch b = batch(5, 33, true, 1e-3, 0);
  const auto gradient = [&](double factor) {
    const at::Tensor leaf = b.logits.to(at::kFloat).set_requires_grad(true);
    const Loss loss = cross_entropy_(leaf * 1, b.targets, b.spec);
    (factor == 1 ? loss.total : loss.total * factor).backward();
    return leaf.grad();
  };
  EXPECT_TRUE(gradient(0.5).equal(gradient(1) * 0.5));
}

TEST(CrossEntropyInPlace, WithoutGradientTheLogitsStay) {
  const Batch b = batch(5, 33, true, 1e-3, 0.1);
  const at::Tensor y = b.logits.to(at::kFloat);
  const Loss loss = cross_entropy_(y, b.targets, b.spec);
  EXPECT_TRUE(y.equal(b.logits.to(at::kFloat)));
  const Loss trained = cross_entropy_(b.logits.to(at::kFloat).set_requires_grad(true) * 1, b.targets, b.spec);
  EXPECT_EQ(loss.ce, trained.ce);
  EXPECT_EQ(loss.mean_logit, trained.mean_logit);
}

TEST(CrossEntropyInPlace, AnOpThatSavedTheLogitsReportsIt) {
  const Batch b = batch(5, 33, false, 0, 0);
  const at::Tensor leaf = b.logits.to(at::kFloat).set_requires_grad(true);
  const Loss loss = cross_entropy_(at::tanh(leaf), b.targets, b.spec);
  EXPECT_ANY_THROW(loss.total.backward());
}

TEST(CrossEntropyInPlace, BitsDependNeitherOnThreadsNorOnTheMeanLogit) {
  const Batch b = batch(203, 65, true, 1e-3, 0.1);
  const auto run = [&](int threads, bool measure) {
    set_threads(threads);
    LossSpec spec = b.spec;
    if (!measure) spec.occurring = at::Tensor();
    at::Tensor y = b.logits.to(at::kBFloat16).set_requires_grad(true) * 1;
    const Loss loss = cross_entropy_(y, b.targets, spec);
    set_threads(1);
    return std::pair(loss.ce, y.detach());
  };
  const auto [ce, gradient] = run(1, true);
  for (const auto& [other_ce, other] : {run(2, true), run(3, true), run(1, false)}) {
    EXPECT_EQ(ce, other_ce);
    EXPECT_TRUE(gradient.equal(other));
  }
}

TEST(CrossEntropyInPlace, SurvivesHugeLogitsAndReportsNonFiniteOnes) {
  test::with_each_instruction_set([] {
    const auto loss = [](double a, double b, double c) {
      const at::Tensor y = rows(1, {a, b, c}).to(at::kFloat).set_requires_grad(true) * 1;
      const Loss result = cross_entropy_(y, ids({0}), {});
      return std::pair(result.ce, y.detach());
    };
    const auto [ce, gradient] = loss(3e4, -3e4, 0);
    EXPECT_EQ(ce, 0);
    EXPECT_LT(gradient.abs().max().item<double>(), 1e-37);  // exp stops at 2^-126
    const double inf = std::numeric_limits<double>::infinity();
    for (const double bad : {inf, std::nan("")}) {
      EXPECT_FALSE(std::isfinite(loss(bad, 0, 1).first));
      EXPECT_FALSE(std::isfinite(loss(0, bad, 1).first));
      EXPECT_FALSE(loss(0, bad, 1).second.isfinite().all().item<bool>());
    }
    EXPECT_FALSE(std::isfinite(loss(-inf, -inf, -inf).first));
  });
}

TEST(CrossEntropyInPlace, NoTargetAtAllIsNotANumber) {
  const at::Tensor y = rows(1, {1, 2}).to(at::kFloat).set_requires_grad(true) * 1;
  EXPECT_TRUE(std::isnan(cross_entropy_(y, ids({-1}), {}).ce));
  EXPECT_EQ(y.detach().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace evenkeel::ops
