#include "evenkeel/models/seq2seq.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/models/registry.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "tests/support/compare.h"
#include "tests/support/small_pairs.h"
#include "tests/support/stat_recorder.h"

namespace evenkeel::models {
namespace {

std::int64_t count(std::int64_t encoder, std::int64_t decoder, std::int64_t hidden, std::int64_t vocab) {
  Experiment e = test::small_pair_experiment(512, encoder, decoder, 8, vocab);
  e.arch.ffn_width = hidden;
  return build_family(e)->count();
}

// Parameter counts of the recipes of Liu et al. 2020 (arXiv 2004.08249) and Liu et al. 2020 (arXiv
// 2008.07772); the papers give 37M, 61M and 256M.
TEST(Seq2Seq, ParameterCounts) {
  EXPECT_EQ(count(6, 6, 1024, 10152), 36741120);
  EXPECT_EQ(count(6, 6, 2048, 32768), 60915712);
  EXPECT_EQ(count(60, 12, 2048, 32768), 256368640);
}

TEST(Seq2Seq, ParameterNames) {
  Experiment e = test::small_pair_experiment(8, 1, 1);
  e.arch.bias = false;
  std::vector<std::string> names;
  const auto model = train::build_model(e);
  for (const nn::Param* p : model->parameters()) names.push_back(p->name);
  std::vector<std::string> expected{"embed.weight"};
  for (const auto& [stack, parts] :
       {std::pair{"encoder", std::vector<std::string>{"attn", "mlp"}}, {"decoder", {"attn", "cross", "mlp"}}})
    for (const std::string& part : parts) {
      const std::string layer = std::string(stack) + ".layers.0.";
      expected.push_back(layer + part + "_norm.gain");
      const auto matrices = part == "mlp" ? std::vector<std::string>{"fc1", "fc2"}
                                          : std::vector<std::string>{"q", "k", "v", "o"};
      for (const std::string& matrix : matrices) expected.push_back(layer + part + "." + matrix + ".weight");
    }
  EXPECT_EQ(names, expected);
}

// Var of a uniform Xavier matrix is 2 / (in + out); q, k, v are a third of one of 3D rows: 1 / (2D).
TEST(Seq2Seq, StartsAsFairseqDoes) {
  const std::int64_t d = 128;
  const auto model = train::build_model(test::small_pair_experiment(d, 1, 1, 4, 400));
  for (const nn::Param* p : model->parameters()) {
    if (p->role == nn::Role::kBias) {
      EXPECT_EQ(p->value.abs().max().item<double>(), 0) << p->name;
    }
    if (p->role == nn::Role::kGain) {
      EXPECT_EQ(p->value.min().item<double>(), 1) << p->name;
    }
    if (p->role != nn::Role::kMatrix) continue;
    const bool joint = p->name.find(".q.") + p->name.find(".k.") + p->name.find(".v.") + 2 < p->name.size();
    const double out = joint ? 3.0 * d : static_cast<double>(p->value.size(0)),
                 variance = 2 / (out + static_cast<double>(p->value.size(1)));
    // 16384 values or more: the mean square is good to about one percent.
    EXPECT_NEAR(p->value.square().mean().item<double>() / variance, 1, 0.04) << p->name;
    EXPECT_LE(p->value.abs().max().item<double>(), std::sqrt(3 * variance) * (1 + 1e-6)) << p->name;
  }
  const at::Tensor table = model->parameters()[0]->value.detach();
  EXPECT_EQ(table.select(0, PairIds::kPad).abs().max().item<double>(), 0);
  EXPECT_NEAR(table.square().mean().item<double>() * d, 1, 0.04);
}

TEST(Seq2Seq, PaddingChangesNothing) {
  for (const OpPath ops : {OpPath::kPlain, OpPath::kFused}) {
    const Experiment e = test::small_pair_experiment();
    const auto model = train::build_model(e);
    const nn::Context context{.ops = ops};
    const c10::AutoGradMode no_grad(false);
    const std::vector<std::int64_t> sources{3, 7, 5}, targets{6, 2, 4};
    const at::Tensor narrow =
        model->forward(test::random_pairs(e, sources, targets, 1), context).view({3, 6, -1});
    const at::Tensor padded =
        model->forward(test::random_pairs(e, sources, targets, 1, 11, 9), context).view({3, 9, -1});
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::int64_t n = targets[static_cast<std::size_t>(row)];
      const Batch alone = test::random_pairs(e, sources, targets, 1);
      Batch one;
      one.sources = alone.sources.narrow(0, row, 1).narrow(1, 0, sources[static_cast<std::size_t>(row)]);
      one.inputs = alone.inputs.narrow(0, row, 1).narrow(1, 0, n);
      const at::Tensor expected = model->forward(one, context);
      // Other shapes take other tiles: fp32 rounding of logits of size 1.
      EXPECT_LT((narrow[row].narrow(0, 0, n) - expected).abs().max().item<double>(), 1e-5);
      EXPECT_LT((padded[row].narrow(0, 0, n) - expected).abs().max().item<double>(), 1e-5);
    }
  }
}

TEST(Seq2Seq, TheFutureOfTheTargetDoesNotReachThePastButAllOfTheSourceDoes) {
  const Experiment e = test::small_pair_experiment();
  const auto model = train::build_model(e);
  const c10::AutoGradMode no_grad(false);
  Batch batch = test::random_pairs(e, {6}, {6}, 2);
  const at::Tensor before = model->forward(batch, {});
  batch.inputs = batch.inputs.clone();
  batch.inputs[0][4] = PairIds::kFirst + (batch.inputs[0][4].item<std::int64_t>() - PairIds::kFirst + 1) % 19;
  const at::Tensor after = model->forward(batch, {});
  EXPECT_TRUE(before.narrow(0, 0, 4).equal(after.narrow(0, 0, 4)));
  EXPECT_FALSE(before[4].equal(after[4]));
  batch.sources = batch.sources.clone();
  batch.sources[0][4] =
      PairIds::kFirst + (batch.sources[0][4].item<std::int64_t>() - PairIds::kFirst + 1) % 19;
  EXPECT_FALSE(after[0].equal(model->forward(batch, {})[0]));
}

struct PairPass {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;
  test::StatRecorder stats;
};

PairPass pair_pass(const Experiment& e, OpPath ops, at::ScalarType type) {
  const auto model = train::build_model(e);
  if (type == at::kDouble) model->convert(type);
  PairPass out;
  const nn::Context context{.training = true, .seed = 3, .step = 2, .ops = ops, .stats = &out.stats};
  const Batch batch = test::random_pairs(e, {4, 9, 1, 6}, {5, 3, 8, 1}, 4);
  const ops::Loss loss = model->loss(model->forward(batch, context), batch, model->objective, context);
  loss.total.backward();
  out.loss = loss.ce;
  for (const nn::Param* p : model->parameters()) out.gradients[p->name] = p->value.grad();
  return out;
}

TEST(Seq2Seq, FusedAndPlainAgreeWithAllDropoutsAndSmoothing) {
  for (const ResidualScheme scheme :
       {ResidualScheme::kPostLn, ResidualScheme::kPreLn, ResidualScheme::kAdmin, ResidualScheme::kSubLn}) {
    Experiment e = test::small_pair_experiment();
    e.arch.residual = scheme;
    e.arch.dropout = 0.2;
    e.arch.attention_dropout = 0.1;
    e.arch.activation_dropout = 0.15;
    e.train.label_smoothing = 0.1;
    const PairPass plain = pair_pass(e, OpPath::kPlain, at::kDouble),
                   fused = pair_pass(e, OpPath::kFused, at::kFloat);
    EXPECT_NEAR(fused.loss, plain.loss, 1e-5 * plain.loss);
    ASSERT_EQ(fused.gradients.size(), plain.gradients.size());
    for (const auto& [name, gradient] : plain.gradients) {
      // Bias of keys: softmax does not see it, its gradient is rounding noise.
      if (name.ends_with(".k.bias")) continue;
      EXPECT_LT(test::distance(fused.gradients.at(name), gradient), test::kFp32) << name;
    }
    ASSERT_FALSE(plain.stats.values.empty());
    for (const auto& [key, values] : plain.stats.values) {
      ASSERT_TRUE(fused.stats.values.contains(key)) << key;
      for (std::size_t h = 0; h < values.size(); ++h)
        EXPECT_NEAR(fused.stats.values.at(key)[h], values[h], 1e-4 * std::max(1.0, std::abs(values[h])))
            << key;
    }
    EXPECT_TRUE(plain.stats.values.contains("attn/cross_layer01/entropy_norm"));
  }
}

TEST(Seq2Seq, LearnsEightPairsByHeart) {
  for (const ResidualScheme scheme : {ResidualScheme::kPostLn, ResidualScheme::kPreLn}) {
    Experiment e = test::small_pair_experiment(32);
    e.arch.residual = scheme;
    const auto model = train::build_model(e);
    const Batch batch = test::random_pairs(e, {3, 4, 5, 6, 7, 8, 4, 5}, {8, 7, 6, 5, 4, 3, 6, 6}, 5);
    const nn::Context context{.training = true, .ops = OpPath::kFused};
    const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
    double loss = 0;
    for (int step = 0; step < 150; ++step) {
      optimiser->zero_grad();
      const ops::Loss now = model->loss(model->forward(batch, context), batch, model->objective, context);
      now.total.backward();
      loss = now.ce;
      if (step == 0) {
        EXPECT_GT(loss, 2.5);  // about ln 23
      }
      optimiser->step(3e-3);
    }
    EXPECT_LT(loss, 0.05);
  }
}

TEST(Seq2Seq, SaysWhatIsWrong) {
  const Experiment e = test::small_pair_experiment();
  const auto model = train::build_model(e);
  EXPECT_THROW(model->forward(test::random_pairs(e, {3}, {13}, 1), {}), InputError);
  Batch text = test::random_pairs(e, {3}, {3}, 1);
  text.sources = at::Tensor();
  EXPECT_THROW(model->forward(text, {}), InputError);
}

}  // namespace
}  // namespace evenkeel::models
