#include "evenkeel/probes/dependency.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "evenkeel/base/error.h"
#include "evenkeel/probes/residual_stream.h"
#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/encoder_stack.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

const std::vector<double> kVariances{0.3, 0.5, 0.2, 0.4, 0.6, 0.1, 0.3, 0.4};

/// Of a stack of independent normal branches of these variances around an embedding of variance `first`.
std::vector<SubLayerShares> shares_of_independent_branches(ResidualScheme scheme, double first) {
  const c10::AutoGradMode no_grad(false);
  constexpr std::int64_t kTokens = 128, kWidth = 1024;
  const auto layers = static_cast<std::int64_t>(kVariances.size() / 2);
  const StackPlan plan = plan_stack(scheme, StackShape::alone(layers), MatrixInit::kXavier);
  ShareSink sink(NormType::kLayerNorm, 1e-5);
  nn::Context context;
  context.residuals = &sink;
  nn::Stream stream;
  stream.x = test::random_normal({kTokens, kWidth}, 0) * std::sqrt(first);
  for (std::size_t i = 0; i < kVariances.size(); ++i) {
    nn::Residual sublayer(plan.layers[i / 2][i % 2], {kWidth, NormType::kLayerNorm, 1e-5, true}, 0,
                          i % 2 == 0 ? "attn" : "mlp");
    nn::initialise(sublayer, 1);
    sublayer.name_tree("decoder.blocks." + std::to_string(i / 2));
    sublayer.convert(at::kDouble);
    const at::Tensor f = test::random_normal({kTokens, kWidth}, i + 1) * std::sqrt(kVariances[i]);
    stream = sublayer.forward(
        stream, [&](const at::Tensor&) { return f; }, context);
  }
  return sink.sublayers();
}

// 131072 numbers give a variance to 0.4 %. The width is large because the norm of a token favours those
// whose branches happen to cancel, which adds about 0.4 / D per sub-layer to the sum of squares.
constexpr double kTolerance = 0.01;

TEST(Dependency, OfBranchesOfKnownVarianceInAPlainSum) {
  for (const ResidualScheme scheme : {ResidualScheme::kPreLn, ResidualScheme::kNone}) {
    const auto shares = shares_of_independent_branches(scheme, 1.5);
    ASSERT_EQ(shares.size(), kVariances.size());
    EXPECT_EQ(shares[3].site, "decoder.blocks.1.mlp");
    double total = 1.5;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      EXPECT_NEAR(shares[i].branch_variance, kVariances[i], kTolerance);
      EXPECT_NEAR(shares[i].shortcut_variance / total, 1, kTolerance);
      total += kVariances[i];
      ASSERT_EQ(shares[i].beta.size(), i + 2);
      EXPECT_NEAR(shares[i].beta[0], std::sqrt(1.5 / total), kTolerance);
      for (std::size_t j = 0; j <= i; ++j)
        EXPECT_NEAR(shares[i].beta[j + 1], std::sqrt(kVariances[j] / total), kTolerance);
      EXPECT_NEAR(shares[i].dependency, kVariances[i] / total, kTolerance);
      EXPECT_NEAR(shares[i].sum_of_squares(), 1, kTolerance) << "independent, so without covariances";
      EXPECT_EQ(shares[i].bias, 0);
    }
  }
}

TEST(Dependency, OfBranchesOfKnownVarianceUnderPostLn) {
  const auto shares = shares_of_independent_branches(ResidualScheme::kPostLn, 1);
  std::vector<double> expected{1};  // squares
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double v = kVariances[i];
    for (double& square : expected) square /= 1 + v;
    expected.push_back(v / (1 + v));
    EXPECT_NEAR(shares[i].dependency, v / (1 + v), kTolerance);
    for (std::size_t j = 0; j < expected.size(); ++j)
      EXPECT_NEAR(shares[i].beta[j], std::sqrt(expected[j]), kTolerance);
    EXPECT_NEAR(shares[i].sum_of_squares(), 1, kTolerance);
  }
}

/// That the parts add up to the stream, after every sub-layer.
struct CheckedSink : ShareSink {
  using ShareSink::ShareSink;
  double worst = 0;
  void residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) override {
    ShareSink::residual(at, x, f);
    at::Tensor sum;
    for (const at::Tensor& part : parts(stack_of(at.site())))
      if (part.defined()) sum = sum.defined() ? sum + part : part;
    const at::Tensor stream = sublayer_output(at, sublayer_sum(at, x, f));
    worst = std::max(worst, ((sum - stream).abs().max() / stream.abs().max()).item<double>());
  }
};

TEST(Dependency, ThePartsOfEverySchemeAddUpToItsStream) {
  const c10::AutoGradMode no_grad(false);
  for (const auto& [scheme, name] : EnumNames<ResidualScheme>::names) {
    for (const NormType norm : {NormType::kLayerNorm, NormType::kRmsNorm}) {
      Experiment e = test::small_experiment(16, 4, 2, 8, 11);
      e.arch.residual = scheme;
      e.arch.norm = norm;
      e.arch.bias = true;
      const auto model = train::build_model(e);
      model->convert(at::kDouble);
      // As after training: gains, biases and multipliers of their own.
      std::uint64_t seed = 0;
      for (const nn::Param* p : model->parameters())
        if (!p->is_matrix()) p->value.add_(test::random_normal(p->value.sizes().vec(), ++seed), 0.3);
      CheckedSink sink(e.arch.norm, e.arch.norm_eps);
      nn::Context context;
      context.residuals = &sink;
      model->forward(test::random_batch(e, 2, 1).first, context);
      EXPECT_EQ(sink.sublayers().size(), 8u);
      EXPECT_LT(sink.worst, 1e-12) << name << ": the same sums in another order, in double";
    }
  }
}

// Checks 5 and 6 of the sheet on Liu et al. 2020, whose stack this is: D = 256, 12 sub-layers. The ranges are
// its; means over 5 seeds, as single stacks scatter by 0.03.
TEST(Dependency, SharesAtInitialisation) {
  const c10::AutoGradMode no_grad(false);
  const test::EncoderStack::Shape shape{.layers = 6, .width = 256};
  constexpr int kSeeds = 5;
  std::map<ResidualScheme, std::vector<double>> diagonal, sums;
  for (const ResidualScheme scheme :
       {ResidualScheme::kPostLn, ResidualScheme::kPreLn, ResidualScheme::kAdmin}) {
    diagonal[scheme].assign(12, 0);
    sums[scheme].assign(12, 0);
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      test::EncoderStack stack(scheme, shape, seed);
      nn::Context context;
      if (scheme == ResidualScheme::kAdmin) {
        train::AdminProfiler profiler(stack.sublayers(), AdminStart::kProfile);
        context.residuals = &profiler;
        stack.streams(context);
      }
      ShareSink sink(NormType::kLayerNorm, 1e-5);
      context.residuals = &sink;
      stack.streams(context);
      for (std::size_t i = 0; i < 12; ++i) {
        diagonal[scheme][i] += sink.sublayers()[i].beta.back() / kSeeds;
        sums[scheme][i] += sink.sublayers()[i].sum_of_squares() / kSeeds;
      }
    }
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_GT(sums[scheme][i], 0.95) << i;
      EXPECT_LT(sums[scheme][i], 1.06) << i;
    }
  }
  const std::vector<double>&post = diagonal[ResidualScheme::kPostLn], &pre = diagonal[ResidualScheme::kPreLn],
        &admin = diagonal[ResidualScheme::kAdmin];
  for (std::size_t i = 2; i < 12; ++i) {
    EXPECT_GT(post[i], 0.38) << i;
    EXPECT_LT(post[i], 0.55) << i;
    EXPECT_NEAR(admin[i], pre[i], 0.02) << i;
  }
  EXPECT_NEAR(pre[11], 0.265, 0.015);
  EXPECT_NEAR(admin[11], 0.265, 0.015);
}

TEST(Dependency, TheAnswerHasAMatrixPerStackAndRefusesAModelWithoutSubLayers) {
  for (const std::int64_t depth : {3, 0}) {
    const Experiment e = test::small_experiment(16, depth, 2, 8, 11);
    Subject subject;
    subject.experiment = e;
    subject.model = train::build_model(e);
    subject.model->convert(at::kDouble);
    const auto [inputs, targets] = test::random_batch(e, 2, 1);
    subject.batch = {inputs, targets};
    if (depth == 0) {
      EXPECT_THROW(dependency_probe().measure(subject, {}), InputError);
      continue;
    }
    const Json answer = dependency_probe().measure(subject, {});
    EXPECT_EQ(answer["scheme"], "pre_ln");
    ASSERT_EQ(answer["stacks"].size(), 1u);
    EXPECT_EQ(answer["stacks"][0]["stack"], "blocks");
    const Json& sublayers = answer["stacks"][0]["sublayers"];
    ASSERT_EQ(sublayers.size(), 6u);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(sublayers[i]["beta"].size(), i + 2);
    EXPECT_EQ(sublayers[5]["site"], "blocks.2.mlp");
  }
}

}  // namespace
}  // namespace evenkeel::probes
