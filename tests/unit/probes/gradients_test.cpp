#include "evenkeel/probes/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>

#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/probes/probe.h"
#include "evenkeel/probes/subject.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

std::unique_ptr<nn::Residual> sublayer(const SubLayer& record, std::int64_t width, const std::string& layer,
                                       const std::string& name) {
  auto made =
      std::make_unique<nn::Residual>(record, nn::NormShape{width, NormType::kLayerNorm, 1e-5, true}, 0, name);
  nn::initialise(*made, 1);
  made->name_tree(layer);
  made->convert(at::kDouble);
  return made;
}

TEST(Gradients, OfLinearBranchesAreProductsOfMatrices) {
  constexpr std::int64_t kTokens = 5, kWidth = 4;
  const StackPlan plan = plan_stack(ResidualScheme::kNone, StackShape::alone(1), MatrixInit::kXavier);
  const auto first = sublayer(plan.layers[0][0], kWidth, "blocks.0", "attn"),
             second = sublayer(plan.layers[0][1], kWidth, "blocks.0", "mlp");
  const at::Tensor x = test::random_normal({kTokens, kWidth}, 1).requires_grad_(true),
                   a = test::random_normal({kWidth, kWidth}, 2).requires_grad_(true),
                   b = test::random_normal({kWidth, kWidth}, 3).requires_grad_(true),
                   unused = test::random_normal({2}, 5).requires_grad_(true),
                   c = test::random_normal({kTokens, kWidth}, 4);
  const Pass pass = [&](const nn::Context& context) {
    nn::Stream stream;
    stream.x = x;
    stream = first->forward(
        stream, [&](const at::Tensor& u) { return u.matmul(a); }, context);
    stream = second->forward(
        stream, [&](const at::Tensor& u) { return u.matmul(b); }, context);
    return (stream.x * c).sum();
  };
  const Gradients found = gradients_of(pass, {}, {a, b, unused});
  // y2 = y1 + y1 B, y1 = x + x A, L = <c, y2>; the same few products in double.
  const at::Tensor at_y1 = c + c.matmul(b.t()), at_x = at_y1 + at_y1.matmul(a.t());
  ASSERT_EQ(found.sublayers.size(), 2u);
  EXPECT_EQ(found.sublayers[1].site, "blocks.0.mlp");
  EXPECT_NEAR(found.sublayers[1].at_sum, ops::rms(c), 1e-12);
  EXPECT_NEAR(found.sublayers[1].at_input, ops::rms(at_y1.detach()), 1e-12);
  EXPECT_NEAR(found.sublayers[0].at_sum, ops::rms(at_y1.detach()), 1e-12);
  EXPECT_NEAR(found.sublayers[0].at_input, ops::rms(at_x.detach()), 1e-12);
  EXPECT_LT((found.parameters[0] - x.t().matmul(at_y1)).abs().max().item<double>(), 1e-12);
  EXPECT_EQ(ops::rms(found.parameters[2]), 0) << "the loss does not depend on it";
}

/// Gradient energy that one sub-layer of a decoder hands down, by kind of branch, and Var[f] of each kind:
/// means over layers. D = 64, 4 sentences of 16 tokens, 4 heads, r = 4, as Xavier and fused q, k, v have it.
/// The tokens of the memory nearly agree, as a deep encoder's do: else averaging them leaves no branch.
struct DecoderGains {
  std::map<BranchKind, double> gain, variance;
  double first_over_last = 0;  ///< of the energies that reach the lowest and the highest layer's input
};
DecoderGains decoder_gains(ResidualScheme scheme, std::int64_t layers, std::uint64_t seed) {
  constexpr std::int64_t kWidth = 64, kHidden = 256, kSentences = 4, kTokens = 16, kHeads = 4;
  const StackPlan plan = plan_stack(scheme, StackShape::decoder(layers, layers), MatrixInit::kXavier);
  std::uint64_t drawn = 1000 * seed;
  const auto matrix = [&](std::int64_t out, std::int64_t in, double variance) {
    return test::random_normal({out, in}, ++drawn) * std::sqrt(variance);
  };
  const at::Tensor x0 = matrix(kSentences * kTokens, kWidth, 1).requires_grad_(true),
                   memory = std::sqrt(0.94) * matrix(kSentences, kWidth, 1).repeat_interleave(kTokens, 0) +
                            matrix(kSentences * kTokens, kWidth, 0.06),
                   upstream = matrix(kSentences * kTokens, kWidth, 1);
  const at::Tensor visible = at::ones_like(matrix(kTokens, kTokens, 1)).tril();
  struct Branch {
    at::Tensor a, b, c, d;
  };
  std::vector<Branch> branches;
  std::vector<std::unique_ptr<nn::Residual>> sublayers;
  for (std::int64_t i = 0; i < layers; ++i) {
    for (const SubLayer& record : plan.layers[static_cast<std::size_t>(i)]) {
      const double d = kWidth, q = 1 / (2 * d), o = 1 / d, w = 2 / (d + kHidden);
      const bool mlp = record.branch == BranchKind::kMlp;
      branches.push_back(mlp ? Branch{matrix(kWidth, kHidden, w), matrix(kHidden, kWidth, w), {}, {}}
                             : Branch{matrix(kWidth, kWidth, q), matrix(kWidth, kWidth, q),
                                      matrix(kWidth, kWidth, q), matrix(kWidth, kWidth, o)});
      sublayers.push_back(sublayer(record, kWidth, "decoder.blocks." + std::to_string(i),
                                   mlp                                           ? "mlp"
                                   : record.branch == BranchKind::kSelfAttention ? "attn"
                                                                                 : "cross"));
    }
  }
  const auto attend = [&](const Branch& w, const at::Tensor& u, const at::Tensor& from, bool causal) {
    const auto heads = [&](const at::Tensor& x) {
      return x.view({kSentences, kTokens, kHeads, kWidth / kHeads}).transpose(1, 2);
    };
    at::Tensor scores = heads(u.matmul(w.a)).matmul(heads(from.matmul(w.b)).transpose(2, 3)) /
                        std::sqrt(static_cast<double>(kWidth / kHeads));
    if (causal) scores = scores.masked_fill(visible.eq(0), -1e30);
    return scores.softmax(-1).matmul(heads(from.matmul(w.c))).transpose(1, 2).reshape(u.sizes()).matmul(w.d);
  };
  std::map<BranchKind, std::vector<double>> variances;
  const Pass pass = [&](const nn::Context& context) {
    nn::Stream stream;
    stream.x = x0;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const BranchKind kind = sublayers[i]->record().branch;
      stream = sublayers[i]->forward(
          stream,
          [&](const at::Tensor& u) {
            const at::Tensor f =
                kind == BranchKind::kMlp
                    ? u.matmul(branches[i].a).relu().matmul(branches[i].b)
                    : attend(branches[i], u, kind == BranchKind::kCrossAttention ? memory : u,
                             kind == BranchKind::kSelfAttention);
            variances[kind].push_back(variance(f));
            return f;
          },
          context);
    }
    return (stream.x * upstream).sum();
  };
  const std::vector<SubLayerGradient> found = gradients_of(pass, {}, {}).sublayers;
  DecoderGains gains;
  const auto n = static_cast<double>(layers);
  for (std::size_t i = 0; i + 1 < found.size(); ++i) {
    const double ratio = found[i].at_input / found[i + 1].at_input;
    const BranchKind kind = sublayers[i]->record().branch;
    gains.gain[kind] += ratio * ratio / (kind == BranchKind::kMlp ? n - 1 : n);
  }
  for (const auto& [kind, all] : variances)
    for (const double v : all) gains.variance[kind] += v / n;
  gains.first_over_last = std::pow(found.front().at_input / found[found.size() - 3].at_input, 2);
  return gains;
}

// Check 12 of the sheet on Liu et al. 2020, with its ranges; 3 seeds of 8 layers.
TEST(Gradients, VanishInAPostLnDecoderAtCrossAttention) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    DecoderGains post = decoder_gains(ResidualScheme::kPostLn, 8, seed);
    const double expected = 1 / (1 + post.variance[BranchKind::kCrossAttention]);
    EXPECT_NEAR(post.gain[BranchKind::kCrossAttention] / expected, 1, 0.15);
    EXPECT_GT(post.gain[BranchKind::kMlp], 0.95);
    EXPECT_LT(post.gain[BranchKind::kMlp], 1.08);
    const DecoderGains pre = decoder_gains(ResidualScheme::kPreLn, 8, seed);
    // Through seven layers, each of which may lose as little as the range above allows.
    EXPECT_LT(post.first_over_last, std::pow(1.15 * expected, 7));
    EXPECT_GT(pre.first_over_last, 1);
  }
}

TEST(Gradients, OfAModelAreThoseOfBackwardBesideTheOptimisersDirections) {
  for (const OptimiserKind algorithm : {OptimiserKind::kAdam, OptimiserKind::kSgd}) {
    Experiment e = test::small_experiment(16, 2, 2, 8, 11);
    e.optim.algorithm = algorithm;
    e.arch.residual = ResidualScheme::kPostLn;
    Subject subject;
    subject.experiment = e;
    subject.model = train::build_model(e);
    subject.optimiser = optim::make_optimiser(subject.model->parameters(), e.optim);
    const auto [inputs, targets] = test::random_batch(e, 2, 1);
    subject.batch = {inputs, targets};
    EXPECT_EQ(gradients_probe().measure(subject, {})["matrices"][0]["why"], "no update was made yet");
    training_loss(*subject.model, subject.batch, subject.context).backward();
    subject.optimiser->step(1e-3);
    subject.optimiser->zero_grad();
    subject.step = 1;
    const Json answer = gradients_probe().measure(subject, {});
    training_loss(*subject.model, subject.batch, subject.context).backward();
    std::size_t matrices = 0;
    double largest = 0;
    for (const nn::Param* p : subject.model->parameters()) {
      for (const Json& m : answer["matrices"]) {
        if (m["parameter"] != p->name) continue;
        ++matrices;
        // Two backward passes of the same graph in fp32.
        EXPECT_NEAR(m["gradient"].get<double>() / ops::rms(p->value.grad()), 1, 1e-5);
        EXPECT_EQ(m["in_block"], p->role == nn::Role::kMatrix);
        if (m["in_block"]) largest = std::max(largest, m["relative_gradient"].get<double>());
        // Adam's first direction is the gradient's sign: sizes of about 1 everywhere.
        if (algorithm == OptimiserKind::kAdam) EXPECT_GT(m["direction"].get<double>(), 0.5);
        else EXPECT_EQ(m["why"], "sgd keeps no direction");
      }
    }
    EXPECT_EQ(matrices, 14u);
    EXPECT_EQ(largest, 1);
    EXPECT_EQ(answer["stacks"][0]["sublayers"].size(), 4u);
    EXPECT_FALSE(answer["stacks"][0]["sublayers"][0]["at_input"].is_null());
  }
}

// What is not trained stands in the way of no probe: gradients go through it, and it is not among what is
// asked about.
TEST(Probes, GoThroughFrozenParameters) {
  Experiment e = test::small_experiment(8, 1, 2, 8);
  e.data.synthetic.vocab = 37;
  e.data.valid_tokens = 64;
  e.interventions.freeze = "embed.* *.fc1.weight";
  Options options;
  options.batch = 2;
  options.widths = {8, 16};
  options.steps = 2;
  const Subject subject = initial_subject(e, options);
  for (const Probe& probe : all()) EXPECT_TRUE(probe.measure(subject, options).is_object()) << probe.name;
  for (const Json& matrix : find("gradients").measure(subject, options).at("matrices")) {
    const std::string name = matrix.at("parameter");
    EXPECT_TRUE(name != "embed.weight" && !name.ends_with("fc1.weight")) << name;
    EXPECT_GT(matrix.at("gradient").get<double>(), 0) << name;
  }
}

}  // namespace
}  // namespace evenkeel::probes
