#include "evenkeel/probes/output_change.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/encoder_stack.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

using test::EncoderStack;

Pass pass_of(const EncoderStack& stack) {
  return [&stack](const nn::Context& context) { return stack.streams(context).back(); };
}

std::vector<at::Tensor> matrices_of(EncoderStack& stack) {
  std::vector<at::Tensor> all;
  for (EncoderStack::Layer& layer : stack.layers())
    for (at::Tensor* matrix : layer.all()) all.push_back(*matrix);
  return all;
}

std::vector<double> change_of(EncoderStack& stack, double size, std::uint64_t seed) {
  const std::vector<at::Tensor> matrices = matrices_of(stack);
  std::vector<at::Tensor> deltas;
  for (std::size_t i = 0; i < matrices.size(); ++i)
    deltas.push_back(random_change(matrices[i], size, seed, std::to_string(i)));
  const Pass pass = pass_of(stack);
  return changes(standardised_streams(pass, {}), pass, {}, matrices, deltas);
}

TEST(OutputChange, IsThatOfTheStandardisedStreamsAndLeavesNoTrace) {
  const c10::AutoGradMode no_grad(false);
  for (const ResidualScheme scheme : {ResidualScheme::kPreLn, ResidualScheme::kB2t, ResidualScheme::kAdmin}) {
    EncoderStack stack(scheme, {.layers = 3, .width = 32, .sentences = 2, .tokens = 4}, 1);
    stack.convert(at::kDouble);
    const auto standardised = [&] {
      std::vector<at::Tensor> all;
      for (const at::Tensor& x : stack.streams()) {
        const at::Tensor centred = x - x.mean({-1}, true);
        all.push_back(centred / centred.square().mean({-1}, true).sqrt());
      }
      return all;
    };
    const std::vector<at::Tensor> before = standardised();
    std::vector<at::Tensor> kept;
    for (const at::Tensor& matrix : matrices_of(stack)) kept.push_back(matrix.clone());
    const std::vector<double> change = change_of(stack, 1e-3, 7);
    const std::vector<at::Tensor> matrices = matrices_of(stack);
    for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(matrices[i].equal(kept[i]));
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const at::Tensor delta = random_change(kept[i], 1e-3, 7, std::to_string(i));
      EXPECT_TRUE(delta.abs().eq(1e-3).all().item<bool>());
      EXPECT_LT(std::abs(delta.mean().item<double>()), 5e-3 / std::sqrt(delta.numel())) << "5 sigma";
      at::Tensor(matrices[i]).add_(delta);
    }
    const std::vector<at::Tensor> after = standardised();
    ASSERT_EQ(change.size(), 6u);
    for (std::size_t i = 0; i < 6; ++i) {
      const double expected = (after[i + 1] - before[i + 1]).square().mean().item<double>();
      // The same numbers but for the norm's eps-free form being taken of sums rebuilt once.
      EXPECT_NEAR(change[i] / expected, 1, 1e-9);
      EXPECT_GT(change[i], 0);
    }
  }
}

TEST(OutputChange, GrowthOfKnownCurves) {
  std::vector<double> linear, root, logarithm;
  for (int i = 1; i <= 100; ++i) {
    linear.push_back(3e-6 * i);
    root.push_back(std::sqrt(i));
    logarithm.push_back(2 + 3 * std::log(i));
  }
  EXPECT_NEAR(growth_of(linear)->exponent, 1, 1e-12);
  EXPECT_NEAR(growth_of(linear)->linear_r2, 1, 1e-12);
  EXPECT_LT(growth_of(linear)->log_r2, 0.9);
  EXPECT_NEAR(growth_of(root)->exponent, 0.5, 1e-12);
  EXPECT_NEAR(growth_of(logarithm)->log_r2, 1, 1e-12);
  EXPECT_LT(growth_of(logarithm)->linear_r2, 0.9);
  linear[50] = 0;
  EXPECT_FALSE(growth_of(linear));
  linear.resize(9);
  EXPECT_FALSE(growth_of(linear)) << "too few";
}

/// Means over seeds after 1 ... 2 L sub-layers, at the sheet's setting: signs of 1e-4, no dropout.
std::vector<double> mean_change(ResidualScheme scheme, const EncoderStack::Shape& shape,
                                std::uint64_t seeds) {
  const c10::AutoGradMode no_grad(false);
  std::vector<double> mean(static_cast<std::size_t>(2 * shape.layers), 0);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    EncoderStack stack(scheme, shape, seed);
    if (scheme == ResidualScheme::kAdmin) {
      train::AdminProfiler profiler(stack.sublayers(), AdminStart::kProfile);
      nn::Context context;
      context.residuals = &profiler;
      stack.streams(context);
    }
    const std::vector<double> one = change_of(stack, 1e-4, seed);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / static_cast<double>(seeds);
  }
  return mean;
}

// Checks 8, 9 and 10 of the sheet on Liu et al. 2020, with its D = 128, 100 sub-layers and ranges. Curves of
// single seeds are bumpy (R^2 of Post-LN's line down to 0.73), hence 10.
TEST(OutputChange, GrowsWithDepthUnderPostLnAndWithItsLogarithmUnderPreLnAndAdmin) {
  const EncoderStack::Shape shape{.layers = 50, .width = 128};
  const std::vector<double> post = mean_change(ResidualScheme::kPostLn, shape, 10),
                            pre = mean_change(ResidualScheme::kPreLn, shape, 10),
                            admin = mean_change(ResidualScheme::kAdmin, shape, 10);
  EXPECT_GT(post[9] / admin[9], 1.7);
  EXPECT_LT(post[9] / admin[9], 2.4);
  EXPECT_GT(post[99] / admin[99], 5);
  EXPECT_LT(post[99] / admin[99], 11);
  for (std::size_t n = 4; n <= 100; ++n) EXPECT_NEAR(admin[n - 1] / pre[n - 1], 1, 0.15) << n;
  const Growth a = *growth_of(post), b = *growth_of(pre), c = *growth_of(admin);
  EXPECT_GT(a.exponent, 0.9);
  EXPECT_LT(a.exponent, 1.25);
  EXPECT_LE(b.exponent, 0.55);
  EXPECT_LE(c.exponent, 0.55);
  EXPECT_GE(a.linear_r2, 0.95);
  EXPECT_GT(a.linear_r2, a.log_r2);
  for (const Growth& g : {b, c}) {
    EXPECT_GE(g.log_r2, 0.97);
    EXPECT_GT(g.log_r2, g.linear_r2);
  }
  // beta^2 sum e^2 / s_k^2 per sub-layer, 1.3e-6 at D = 128.
  EXPECT_NEAR(post[9] / 10 / 1.3e-6, 1, 0.2);
}

// Check 16: the change of DeepNorm at the end is that of any depth.
TEST(OutputChange, OfDeepNormDoesNotDependOnDepth) {
  std::vector<double> last;
  for (const std::int64_t layers : {10, 25, 50})
    last.push_back(
        std::sqrt(mean_change(ResidualScheme::kDeepNorm, {.layers = layers, .width = 128}, 4).back()));
  EXPECT_NEAR(last[1] / last[0], 1, 0.2);
  EXPECT_NEAR(last[2] / last[0], 1, 0.2);
}

TEST(OutputChange, OfAModelByRandomSignsAndByTheGradients) {
  const Experiment e = test::small_experiment(16, 5, 2, 8, 11);
  Subject subject;
  subject.experiment = e;
  subject.model = train::build_model(e);
  subject.model->convert(at::kDouble);
  const auto [inputs, targets] = test::random_batch(e, 2, 1);
  subject.batch = {inputs, targets};
  std::vector<at::Tensor> kept;
  for (const nn::Param* p : subject.model->parameters()) kept.push_back(p->value.detach().clone());
  Options options;
  options.seeds = 3;
  const Json random = output_change_probe().measure(subject, options);
  EXPECT_EQ(random["matrices"], 30) << "six of every block; not embedding and head";
  EXPECT_EQ(random["size"], 1e-4);
  ASSERT_EQ(random["stacks"][0]["sublayers"].size(), 10u);
  EXPECT_EQ(random["stacks"][0]["output"], random["stacks"][0]["sublayers"][9]["change"]);
  EXPECT_GT(random["stacks"][0]["sublayers"][0]["std"].get<double>(), 0);
  EXPECT_FALSE(random["stacks"][0]["growth"].is_null());
  options.change = MatrixChange::kGradient;
  const Json gradient = output_change_probe().measure(subject, options);
  EXPECT_EQ(gradient["size"], 1e-6);
  EXPECT_EQ(gradient["seeds"], 1);
  EXPECT_TRUE(gradient["stacks"][0]["sublayers"][0]["std"].is_null());
  // A change is a square, so of order size^2; that of the gradient is correlated and the larger for it.
  const double ratio =
      gradient["stacks"][0]["output"].get<double>() / random["stacks"][0]["output"].get<double>();
  EXPECT_GT(ratio, 1e-4);
  EXPECT_LT(ratio, 1e-1);
  options.size = 2e-6;
  const Json twice = output_change_probe().measure(subject, options);
  // Linear to first order, and the second is 1e-6 of it or less per matrix of 32 terms.
  EXPECT_NEAR(twice["stacks"][0]["output"].get<double>() / gradient["stacks"][0]["output"].get<double>(), 4,
              1e-2);
  const auto parameters = subject.model->parameters();
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(parameters[i]->value.equal(kept[i]));
}

}  // namespace
}  // namespace evenkeel::probes
