#include "evenkeel/ops/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <limits>

#include "evenkeel/ops/threads.h"
#include "tests/support/compare.h"
#include "tests/support/gradcheck.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

using test::distance;
using test::random_normal;
using test::tolerance;

/// A leaf whose values `type` holds exactly.
at::Tensor leaf(at::IntArrayRef sizes, std::uint64_t seed, double scale, at::ScalarType type) {
  return (random_normal(sizes.vec(), seed, at::kFloat) * scale)
      .to(at::kBFloat16)
      .to(type)
      .requires_grad_(true);
}
at::Tensor twin(const at::Tensor& t) {
  return t.defined() ? t.detach().to(at::kDouble).requires_grad_(true) : t;
}
void expect_near_plain(const at::Tensor& fused, const at::Tensor& plain, double allowed, const char* what) {
  ASSERT_EQ(fused.defined(), plain.defined()) << what;
  if (!fused.defined()) return;
  EXPECT_LT(distance(fused, plain), allowed) << what;
}

struct Shape {
  std::int64_t rows, in;
  std::vector<std::int64_t> out;
};
const std::vector<Shape> kShapes{{1, 1, {1}},
                                 {1, 8, {3}},
                                 {5, 3, {7}},
                                 {33, 17, {65}},
                                 {64, 64, {64}},
                                 {70, 130, {50, 4}},
                                 {600, 48, {16, 16, 16}},
                                 {1030, 33, {40}}};

void check_linear(const Shape& shape, at::ScalarType type, bool bias) {
  const at::Tensor x = leaf({shape.rows, shape.in}, 1, 1, type), x2 = twin(x);
  LinearWeights fused, plain;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < shape.out.size(); ++i) {
    total += shape.out[i];
    fused.weights.push_back(
        leaf({shape.out[i], shape.in}, 10 + i, 1 / std::sqrt(static_cast<double>(shape.in)), at::kFloat));
    plain.weights.push_back(twin(fused.weights[i]));
    if (!bias) continue;
    fused.biases.push_back(leaf({shape.out[i]}, 20 + i, 1, at::kFloat));
    plain.biases.push_back(twin(fused.biases[i]));
  }
  const at::Tensor dy = leaf({shape.rows, total}, 2, 1, at::kDouble).detach();
  const at::Tensor y = fused_linear(x, fused), y2 = fused_linear_plain(x2, plain);
  ASSERT_EQ(y.scalar_type(), type);
  expect_near_plain(y, y2, tolerance(type), "y");
  (y.to(at::kDouble) * dy).sum().backward();
  (y2 * dy).sum().backward();
  expect_near_plain(x.grad(), x2.grad(), tolerance(type), "dx");
  // Gradients of weights are fp32 sums of exact products, whatever the storage.
  for (std::size_t i = 0; i < fused.weights.size(); ++i) {
    expect_near_plain(fused.weights[i].grad(), plain.weights[i].grad(), test::kFp32, "dw");
    if (bias) expect_near_plain(fused.biases[i].grad(), plain.biases[i].grad(), test::kFp32, "db");
  }
}

TEST(FusedLinear, EqualsThePlainFormInDoubleOnEveryInstructionSet) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const bool bias : {false, true})
        for (const Shape& shape : kShapes) {
          SCOPED_TRACE(testing::Message()
                       << shape.rows << " x " << shape.in << " bias " << bias << " " << type);
          check_linear(shape, type, bias);
        }
  });
}

void check_mlp(std::int64_t rows, std::int64_t width, std::int64_t hidden, Activation activation,
               at::ScalarType type, bool bias) {
  const at::Tensor x = leaf({rows, width}, 1, 1, type), x2 = twin(x);
  const auto scaled = [](std::int64_t n) { return 1.5 / std::sqrt(static_cast<double>(n)); };
  MlpWeights a{leaf({hidden, width}, 3, scaled(width), at::kFloat),
               {},
               leaf({width, hidden}, 4, scaled(hidden), at::kFloat),
               {},
               activation};
  if (bias) {
    a.b1 = leaf({hidden}, 5, 0.5, at::kFloat);
    a.b2 = leaf({width}, 6, 0.5, at::kFloat);
  }
  const MlpWeights b{twin(a.w1), twin(a.b1), twin(a.w2), twin(a.b2), activation};
  const at::Tensor dy = leaf({rows, width}, 2, 1, at::kDouble).detach();
  const at::Tensor y = fused_mlp(x, a), y2 = fused_mlp_plain(x2, b);
  expect_near_plain(y, y2, tolerance(type), "y");
  (y.to(at::kDouble) * dy).sum().backward();
  (y2 * dy).sum().backward();
  // A bf16 pre-activation near ReLU's corner may fall on the other side of it.
  const double loose = type == at::kBFloat16 && activation == Activation::kRelu ? 0.3 : tolerance(type);
  expect_near_plain(x.grad(), x2.grad(), loose, "dx");
  expect_near_plain(a.w1.grad(), b.w1.grad(), loose, "dw1");
  expect_near_plain(a.w2.grad(), b.w2.grad(), loose, "dw2");
  if (!bias) return;
  expect_near_plain(a.b1.grad(), b.b1.grad(), loose, "db1");
  expect_near_plain(a.b2.grad(), b.b2.grad(), loose, "db2");
}

TEST(FusedMlp, EqualsThePlainFormInDoubleOnEveryInstructionSet) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
        SCOPED_TRACE(testing::Message() << type << " activation " << static_cast<int>(activation));
        check_mlp(1, 4, 9, activation, type, true);
        check_mlp(37, 16, 64, activation, type, false);
        check_mlp(600, 33, 70, activation, type, true);
      }
  });
}

// Before a run diverges its pre-activations grow; a slope that is then wrong would be a divergence of our
// own.
TEST(FusedMlp, LargePreActivationsHaveTheRightSlope) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu})
        for (const double size : {8.0, 128.0, 4096.0, 1e6, 1e12, 1e17})
          for (const double sign : {1.0, -1.0}) {
            const at::Tensor x = at::full({1, 1}, sign * size, type).requires_grad_(true);
            const at::Tensor one = at::full({1, 1}, 1, at::kFloat);
            const at::Tensor y = fused_mlp(x, {one, {}, one, {}, activation});
            y.sum().backward();
            SCOPED_TRACE(testing::Message()
                         << type << " activation " << static_cast<int>(activation) << " at " << sign * size);
            // From 8 on all three are x or 0, to 1e-13. Phi is good to 1.5e-7 of x in the erf form.
            const double stored = x.item<double>(), positive = sign > 0 ? 1 : 0;
            EXPECT_NEAR(y.item<double>(), positive * stored, 1e-6 * size);
            EXPECT_NEAR(x.grad().item<double>(), positive, 1e-5);
          }
  });
}

TEST(FusedMlp, PlainFormPassesAGradientCheck) {
  for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf}) {
    const at::Tensor x = random_normal({3, 4}, 1, at::kDouble);
    const MlpWeights w{random_normal({5, 4}, 2, at::kDouble), random_normal({5}, 3, at::kDouble),
                       random_normal({4, 5}, 4, at::kDouble), random_normal({4}, 5, at::kDouble), activation};
    EXPECT_LT(test::gradient_error([&] { return fused_mlp_plain(x, w).square().sum(); },
                                   {x, w.w1, w.b1, w.w2, w.b2}),
              1e-7);
  }
}

TEST(FusedLinear, NonFiniteInGivesNonFiniteOut) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const double bad :
           {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        at::Tensor x = random_normal({40, 32}, 1, at::kFloat).to(type);
        x[7][5] = bad;
        const at::Tensor w = random_normal({32, 32}, 2, at::kFloat);
        EXPECT_FALSE(fused_linear(x, {{w}, {}})[7].isfinite().any().item<bool>());
        EXPECT_TRUE(fused_linear(x, {{w}, {}})[8].isfinite().all().item<bool>());
        const MlpWeights mlp{
            random_normal({64, 32}, 3, at::kFloat), {}, random_normal({32, 64}, 4, at::kFloat), {}, {}};
        EXPECT_FALSE(fused_mlp(x, mlp)[7].isfinite().any().item<bool>());
        EXPECT_TRUE(fused_mlp(x, mlp)[8].isfinite().all().item<bool>());
      }
  });
}

TEST(FusedLinear, BitsDoNotDependOnThreads) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto run = [&](int threads) {
      set_threads(threads);
      const at::Tensor x = leaf({1500, 96}, 1, 1, type), w = leaf({200, 96}, 2, 0.1, at::kFloat),
                       w1 = leaf({300, 200}, 3, 0.1, at::kFloat), w2 = leaf({200, 300}, 4, 0.1, at::kFloat);
      const at::Tensor y = fused_mlp(fused_linear(x, {{w}, {}}), {w1, {}, w2, {}, Activation::kGeluTanh});
      y.to(at::kFloat).square().sum().backward();
      set_threads(1);
      return std::vector<at::Tensor>{y, x.grad(), w.grad(), w1.grad(), w2.grad()};
    };
    const auto one = run(1), two = run(2), three = run(3);
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_TRUE(one[i].equal(two[i])) << i;
      EXPECT_TRUE(one[i].equal(three[i])) << i;
    }
  }
}

TEST(FusedMlp, ASecondBackwardPassFailsLoudly) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = test::random_normal({5, 8}, 1, type).set_requires_grad(true);
    MlpWeights w;
    w.w1 = test::random_normal({16, 8}, 2, at::kFloat).set_requires_grad(true);
    w.w2 = test::random_normal({8, 16}, 3, at::kFloat).set_requires_grad(true);
    const at::Tensor loss = fused_mlp(x, w).to(at::kFloat).square().sum();
    loss.backward({}, true);
    EXPECT_THROW(loss.backward(), c10::Error) << type;
  }
}

}  // namespace
}  // namespace evenkeel::ops
