#include "evenkeel/models/decoder_lm.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/models/registry.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"
#include "tests/support/stat_recorder.h"

namespace evenkeel::models {
namespace {

std::int64_t matrix_count(Model& model) {
  std::int64_t n = 0;
  for (const nn::Param* p : model.parameters())
    if (p->role == nn::Role::kMatrix) n += p->value.numel();
  return n;
}

// A13.
TEST(DecoderLm, ParameterCounts) {
  Experiment e = test::small_experiment(256, 3, 4);
  e.interventions.qk_norm = QkNorm::kPerHead;
  const auto small = train::build_model(e);
  EXPECT_EQ(matrix_count(*small), 2359296);
  EXPECT_EQ(small->count() - 2 * 37 * 256, 2361472);
  EXPECT_EQ(e.arch.params(), 2359296);
  e = test::small_experiment(512, 6, 8);
  EXPECT_EQ(matrix_count(*build_family(e)), 18874368);
}

TEST(DecoderLm, ParameterNames) {
  Experiment e = test::small_experiment(8, 1, 2);
  e.interventions.qk_norm = QkNorm::kPerHead;
  std::vector<std::string> names;
  const auto model = train::build_model(e);
  for (const nn::Param* p : model->parameters()) names.push_back(p->name);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "embed.weight", "blocks.0.attn_norm.gain", "blocks.0.attn.q.weight", "blocks.0.attn.k.weight",
                "blocks.0.attn.v.weight", "blocks.0.attn.o.weight", "blocks.0.attn.q_norm.gain",
                "blocks.0.attn.k_norm.gain", "blocks.0.mlp_norm.gain", "blocks.0.mlp.fc1.weight",
                "blocks.0.mlp.fc2.weight", "final_norm.gain", "head.weight"}));
}

// A10, without muParam: ln V + 1/2 over 2048 random targets and 3 seeds.
TEST(DecoderLm, LossAtInitialisation) {
  for (const auto& [vocab, expected] : {std::pair{1024, 7.431}, {32101, 10.877}}) {
    Experiment e = test::small_experiment(64, 2, 4, 128, vocab);
    double sum = 0;
    for (const std::int64_t seed : {1, 2, 3}) {
      e.train.seed = seed;
      const auto model = train::build_model(e);
      const auto [inputs, targets] = test::random_batch(e, 16, static_cast<std::uint64_t>(seed));
      const c10::AutoGradMode no_grad(false);
      sum += ops::cross_entropy_plain(model->forward(inputs, {}), targets, {0}).ce;
    }
    EXPECT_NEAR(sum / 3, expected, 0.1) << vocab;
  }
}

TEST(DecoderLm, TheFutureDoesNotReachThePast) {
  for (const QkNorm kind : {QkNorm::kOff, QkNorm::kWholeDim}) {
    Experiment e = test::small_experiment();
    e.interventions.qk_norm = kind;
    const auto model = train::build_model(e);
    auto [inputs, targets] = test::random_batch(e, 1, 1);
    const at::Tensor before = model->forward(inputs, {}).detach();
    inputs[0][9] = (inputs[0][9] + 1) % 37;
    const at::Tensor after = model->forward(inputs, {}).detach();
    EXPECT_TRUE(before.narrow(0, 0, 9).equal(after.narrow(0, 0, 9)));
    for (std::int64_t t = 9; t < 16; ++t) EXPECT_FALSE(before[t].equal(after[t])) << t;
  }
}

TEST(DecoderLm, SequencesOfABatchDoNotMix) {
  const Experiment e = test::small_experiment();
  const auto model = train::build_model(e);
  const auto [inputs, targets] = test::random_batch(e, 3, 1);
  const at::Tensor together = model->forward(inputs, {}).detach();
  const at::Tensor alone = model->forward(inputs.narrow(0, 1, 1), {}).detach();
  // The library may sum products of another height in another order: 32 terms of order 0.1, 1e-6 of the
  // logits.
  EXPECT_LT((together.narrow(0, 16, 16) - alone).abs().max().item<double>(), 1e-5);
}

TEST(DecoderLm, ZeroLayersPredictFromTheLastTokenAlone) {
  const Experiment e = test::small_experiment(32, 0);
  const auto model = train::build_model(e);
  auto [inputs, targets] = test::random_batch(e, 1, 1);
  inputs[0][3] = 5;
  inputs[0][11] = 5;
  const at::Tensor logits = model->forward(inputs, {}).detach();
  EXPECT_LT((logits[3] - logits[11]).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(model->parameters().size(), 3u);
}

TEST(DecoderLm, StatisticsCoverEveryLayerAndChangeNoBit) {
  Experiment e = test::small_experiment();
  e.interventions.qk_norm = QkNorm::kPerHead;
  const auto silent = train::build_model(e), measured = train::build_model(e);
  const auto [inputs, targets] = test::random_batch(e, 4, 1);
  test::StatRecorder recorder;
  nn::Context context;
  const at::Tensor a = silent->forward(inputs, context);
  context.stats = &recorder;
  const at::Tensor b = measured->forward(inputs, context);
  EXPECT_TRUE(a.detach().equal(b.detach()));
  ops::cross_entropy_plain(a, targets, {1e-4}).total.backward();
  ops::cross_entropy_plain(b, targets, {1e-4}).total.backward();
  const auto pa = silent->parameters(), pb = measured->parameters();
  for (std::size_t i = 0; i < pa.size(); ++i)
    EXPECT_TRUE(pa[i]->value.grad().equal(pb[i]->value.grad())) << pa[i]->name;
  EXPECT_EQ(recorder.values.size(), 2u * 9);
  for (const char* name :
       {"logit_max", "logit_absmax", "logit_rms", "entropy", "entropy_norm", "q_norm", "k_norm", "qk_cosine"})
    EXPECT_EQ(recorder.values.at(std::string("attn/layer01/") + name).size(), 2u) << name;
  EXPECT_GT(recorder.values.at("block/layer00/out_rms")[0], 0.1);
  // Unit gains: every query and key has norm sqrt(K), K = 16.
  EXPECT_NEAR(recorder.values.at("attn/layer00/q_norm")[0], 4, 1e-3);
}

TEST(DecoderLm, DropoutActsInTrainingOnlyAndRepeats) {
  Experiment e = test::small_experiment();
  e.arch.dropout = 0.2;
  const auto model = train::build_model(e);
  const auto [inputs, targets] = test::random_batch(e, 2, 1);
  nn::Context context{.training = true, .seed = 3, .step = 7};
  const at::Tensor first = model->forward(inputs, context).detach(),
                   again = model->forward(inputs, context).detach();
  EXPECT_TRUE(first.equal(again));
  context.step = 8;
  EXPECT_FALSE(first.equal(model->forward(inputs, context).detach()));
  const at::Tensor evaluated = model->forward(inputs, {}).detach();
  e.arch.dropout = 0;
  EXPECT_TRUE(evaluated.equal(train::build_model(e)->forward(inputs, {}).detach()));
}

/// bf16 products only where the processor has them: elsewhere runs refuse bf16 (spec/experiment.h).
std::vector<Precision> precisions() {
  if (machine_has_fast_bf16()) return {Precision::kFp32, Precision::kBf16};
  return {Precision::kFp32};
}

TEST(DecoderLm, LearnsEightSequencesByHeart) {
  for (const Precision precision : precisions()) {
    Experiment e = test::small_experiment();
    e.optim.lr = 0.01;
    e.optim.weight_decay = 0;
    const auto model = train::build_model(e);
    const auto [inputs, targets] = test::random_batch(e, 8, 1);
    const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
    double last = 0;
    for (int i = 0; i < 120; ++i) {
      const ops::Loss loss =
          ops::cross_entropy_plain(model->forward(inputs, {.precision = precision}), targets, {1e-4});
      loss.total.backward();
      optimiser->step(0.01);
      optimiser->zero_grad();
      last = loss.ce;
    }
    EXPECT_LT(last, 0.1);
  }
}

TEST(DecoderLm, EqualTrainingsGiveTheSameBits) {
  for (const Precision precision : precisions()) {
    Experiment e = test::small_experiment();
    e.arch.dropout = 0.1;
    e.interventions.qk_norm = QkNorm::kPerHead;
    const auto train = [&] {
      auto model = train::build_model(e);
      const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
      for (std::int64_t step = 0; step < 5; ++step) {
        const auto [inputs, targets] = test::random_batch(e, 4, static_cast<std::uint64_t>(step));
        const nn::Context context{.training = true, .seed = 1, .step = step, .precision = precision};
        ops::cross_entropy_plain(model->forward(inputs, context), targets, {1e-4}).total.backward();
        optimiser->step(0.01);
        optimiser->zero_grad();
      }
      return model;
    };
    const auto first = train(), second = train();
    const auto a = first->parameters(), b = second->parameters();
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i]->value.equal(b[i]->value)) << a[i]->name;
  }
}

TEST(DecoderLm, BadInputIsExplained) {
  const Experiment e = test::small_experiment();
  const auto model = train::build_model(e);
  auto [inputs, targets] = test::random_batch(e, 1, 1);
  inputs[0][2] = 37;
  try {
    model->forward(inputs, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("id 37 with vocab 37"), std::string::npos);
  }
  Experiment longer = e;
  longer.arch.context = 32;
  EXPECT_THROW(model->forward(test::random_batch(longer, 1, 1).first, {}), InputError);
}

}  // namespace
}  // namespace evenkeel::models
