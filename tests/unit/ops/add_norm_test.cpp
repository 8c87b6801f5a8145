#include "evenkeel/ops/add_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/ops/dropout.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/ops/threads.h"
#include "tests/support/gradcheck.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

enum class Omega { kNone, kNumber, kChannel };

struct AddNormCase {
  std::int64_t rows, width;
  NormKind kind = NormKind::kLayerNorm;
  bool has_f = true, f_bias = false, gain = true, norm_bias = false;
  Omega omega = Omega::kNone;
  double dropout = 0;
  at::ScalarType f_type = at::kFloat, y_type = at::kFloat;
  bool use_x = true, use_y = true;  ///< which outputs the loss depends on
};

std::vector<at::Tensor*> tensors(AddNormInputs& in) {
  return {&in.x, &in.f, &in.f_bias, &in.omega, &in.gain, &in.norm_bias};
}

AddNormInputs draw(const AddNormCase& c) {
  AddNormInputs in;
  in.x = test::random_normal({c.rows, c.width}, 1, at::kFloat) + 0.5;
  if (c.has_f) in.f = test::random_normal({c.rows, c.width}, 2, at::kFloat).to(c.f_type);
  if (c.f_bias) in.f_bias = test::random_normal({c.width}, 3, at::kFloat);
  if (c.omega == Omega::kNumber) in.omega = at::full({}, 1.5, at::kFloat);
  if (c.omega == Omega::kChannel) in.omega = test::random_normal({c.width}, 4, at::kFloat);
  if (c.gain) in.gain = test::random_normal({c.width}, 5, at::kFloat);
  if (c.norm_bias) in.norm_bias = test::random_normal({c.width}, 6, at::kFloat);
  return in;
}

AddNormInputs widened(AddNormInputs in) {
  for (at::Tensor* t : tensors(in))
    if (t->defined()) *t = t->to(at::kDouble);
  return in;
}

at::Tensor loss_of(const AddNormResult& out, const AddNormCase& c, at::ScalarType type) {
  // Upstream gradients that bf16 holds exactly, so that both forms see the same.
  const auto upstream = [&](std::uint64_t seed) {
    return test::random_normal({c.rows, c.width}, seed).to(at::kBFloat16).to(type);
  };
  at::Tensor loss = at::full({}, 0, at::TensorOptions(type));
  if (c.use_x) loss = loss + (out.x * upstream(7)).sum();
  if (c.use_y && out.y.defined()) loss = loss + (out.y.to(type) * upstream(8)).sum();
  return loss;
}

Dropout dropout_of(const AddNormCase& c) {
  return dropout_at(c.dropout, 11, "dropout/test", 5);
}

void expect_close(const at::Tensor& got, const at::Tensor& expected, double tolerance, const char* what) {
  ASSERT_TRUE(got.defined()) << what;
  const double scale = 1 + expected.abs().max().item<double>();
  const double error = got.to(at::kDouble).sub(expected).abs().max().item<double>();
  EXPECT_LE(error, tolerance * scale) << what;
}

void expect_equal_to_plain(const AddNormCase& c) {
  SCOPED_TRACE(testing::Message() << "rows " << c.rows << " width " << c.width);
  AddNormInputs fast = draw(c), exact = widened(draw(c));
  for (AddNormInputs* in : {&fast, &exact})
    for (at::Tensor* t : tensors(*in))
      if (t->defined()) t->set_requires_grad(true);
  const NormSpec norm{c.kind, 1e-5};
  const AddNormResult got = add_norm(fast, norm, dropout_of(c), c.y_type);
  const AddNormResult expected = add_norm_plain(exact, norm, dropout_of(c), c.y_type);
  // fp32: a few roundings of 6e-8 in the row and some tens along a sum; a norm of very few channels divides
  // by a small spread. bf16 has 8 bits: 2^-8 of the largest value.
  const double fp32 = c.width < 8 ? 2e-4 : 5e-6, bf16 = 4e-3;
  expect_close(got.x.detach(), expected.x.detach(), 1e-6, "x'");
  EXPECT_NEAR(got.sum_squares, expected.sum_squares, 1e-6 * expected.sum_squares);
  ASSERT_EQ(got.y.defined(), expected.y.defined());
  if (got.y.defined()) {
    EXPECT_EQ(got.y.scalar_type(), c.y_type);
    expect_close(got.y.detach(), expected.y.detach(), c.y_type == at::kFloat ? fp32 : bf16, "y");
  }
  loss_of(got, c, at::kFloat).backward();
  loss_of(expected, c, at::kDouble).backward();
  const char* const names[] = {"x", "f", "f_bias", "omega", "gain", "norm_bias"};
  for (std::size_t i = 0; i < 6; ++i) {
    const at::Tensor &a = *tensors(fast)[i], &b = *tensors(exact)[i];
    if (!a.defined() || !b.grad().defined()) continue;
    EXPECT_EQ(a.grad().scalar_type(), a.scalar_type());
    expect_close(a.grad(), b.grad(), a.scalar_type() == at::kFloat ? fp32 : bf16, names[i]);
  }
}

TEST(AddNorm, EqualsThePlainFormAtEveryShape) {
  test::with_each_instruction_set([] {
    for (const std::int64_t width : {1, 2, 5, 16, 17, 33, 64, 130, 256})
      for (const std::int64_t rows : {1, 3, 40})
        for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm})
          expect_equal_to_plain({.rows = rows, .width = width, .kind = kind});
  });
}

TEST(AddNorm, EqualsThePlainFormWithEveryPart) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType f : {at::kFloat, at::kBFloat16})
      for (const at::ScalarType y : {at::kFloat, at::kBFloat16})
        for (const NormKind kind : {NormKind::kNone, NormKind::kLayerNorm, NormKind::kRmsNorm})
          for (const Omega omega : {Omega::kNone, Omega::kNumber, Omega::kChannel})
            for (const bool all : {false, true})
              expect_equal_to_plain({.rows = 37,
                                     .width = 33,
                                     .kind = kind,
                                     .f_bias = all,
                                     .gain = all,
                                     .norm_bias = all,
                                     .omega = omega,
                                     .dropout = all ? 0.3 : 0,
                                     .f_type = f,
                                     .y_type = y});
  });
}

TEST(AddNorm, NormAloneLeavesTheStream) {
  for (const bool use_x : {false, true})
    for (const at::ScalarType y : {at::kFloat, at::kBFloat16})
      expect_equal_to_plain(
          {.rows = 9, .width = 130, .has_f = false, .norm_bias = true, .y_type = y, .use_x = use_x});
  const at::Tensor x = test::random_normal({3, 20}, 1, at::kFloat);
  EXPECT_TRUE(add_norm({x, {}, {}, {}, {}, {}}, {}).x.is_same(x) ||
              add_norm({x, {}, {}, {}, {}, {}}, {}).x.data_ptr() == x.data_ptr());
}

TEST(AddNorm, EitherOutputAlone) {
  for (const bool x : {false, true})
    expect_equal_to_plain({.rows = 9, .width = 17, .omega = Omega::kChannel, .use_x = x, .use_y = !x});
}

TEST(AddNorm, GradientMatchesDifferences) {
  for (const NormKind kind : {NormKind::kNone, NormKind::kLayerNorm, NormKind::kRmsNorm}) {
    const AddNormCase c{.rows = 3,
                        .width = 6,
                        .kind = kind,
                        .f_bias = true,
                        .norm_bias = true,
                        .omega = Omega::kChannel,
                        .dropout = 0.3};
    AddNormInputs in = widened(draw(c));
    std::vector<at::Tensor> leaves;
    for (at::Tensor* t : tensors(in))
      if (kind != NormKind::kNone || (t != &in.gain && t != &in.norm_bias)) leaves.push_back(*t);
    EXPECT_LT(test::gradient_error(
                  [&] {
                    return loss_of(add_norm(in, {kind, 1e-5}, dropout_of(c)), c, at::kDouble);
                  },
                  leaves),
              1e-7);
  }
}

struct Bits {
  std::vector<at::Tensor> tensors;
  double sum_squares;
};

Bits run_once(const AddNormCase& c) {
  AddNormInputs in = draw(c);
  for (at::Tensor* t : tensors(in))
    if (t->defined()) t->set_requires_grad(true);
  const AddNormResult out = add_norm(in, {c.kind, 1e-5}, dropout_of(c), c.y_type);
  loss_of(out, c, at::kFloat).backward();
  Bits bits{{out.x.detach(), out.y.detach()}, out.sum_squares};
  for (at::Tensor* t : tensors(in))
    if (t->defined()) bits.tensors.push_back(t->grad());
  return bits;
}

TEST(AddNorm, BitsDoNotDependOnTheNumberOfThreads) {
  const AddNormCase c{.rows = 201,
                      .width = 130,
                      .f_bias = true,
                      .norm_bias = true,
                      .omega = Omega::kNumber,
                      .dropout = 0.1,
                      .f_type = at::kBFloat16,
                      .y_type = at::kBFloat16};
  set_threads(1);
  const Bits one = run_once(c);
  for (const int threads : {2, 3}) {
    set_threads(threads);
    const Bits more = run_once(c);
    EXPECT_EQ(one.sum_squares, more.sum_squares);
    for (std::size_t i = 0; i < one.tensors.size(); ++i)
      EXPECT_TRUE(one.tensors[i].equal(more.tensors[i])) << i;
  }
  set_threads(1);
}

TEST(AddNorm, DropoutIsTheMask) {
  const AddNormCase c{.rows = 5, .width = 7, .kind = NormKind::kNone, .gain = false, .dropout = 0.4};
  const AddNormInputs in = draw(c);
  const at::Tensor mask = dropout_mask(in.f, 0.4, 11, "dropout/test", 5);
  EXPECT_TRUE(add_norm(in, {NormKind::kNone}, dropout_of(c)).x.equal(in.x + in.f * mask));
}

TEST(AddNorm, NonFiniteInNonFiniteOut) {
  test::with_each_instruction_set([] {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
      for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm})
        for (const at::ScalarType y : {at::kFloat, at::kBFloat16}) {
          const AddNormCase c{.rows = 2, .width = 33, .kind = kind};
          AddNormInputs in = draw(c);
          in.f[0][32] = bad;
          in.x.set_requires_grad(true);
          const AddNormResult out = add_norm(in, {kind, 1e-5}, {}, y);
          EXPECT_FALSE(out.x[0].isfinite().all().item<bool>());
          EXPECT_FALSE(out.y[0].isfinite().all().item<bool>());
          EXPECT_TRUE(out.y[1].isfinite().all().item<bool>());
          EXPECT_FALSE(std::isfinite(out.sum_squares));
          out.y.sum().backward();
          EXPECT_FALSE(in.x.grad()[0].isfinite().all().item<bool>());
        }
  });
}

TEST(AddNorm, SumOfSquaresOutlivesTheRangeOfFp32) {
  const at::Tensor x = at::full({2, 8}, 1e25, at::kFloat), tiny = at::full({2, 8}, 1e-25, at::kFloat);
  EXPECT_NEAR(add_norm({x, {}, {}, {}, {}, {}}, {}).sum_squares, 16e50, 1e45);
  EXPECT_NEAR(add_norm({tiny, {}, {}, {}, {}, {}}, {}).sum_squares, 16e-50, 1e-55);
}

}  // namespace
}  // namespace evenkeel::ops
