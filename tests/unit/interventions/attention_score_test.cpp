// What changes the scores of attention and the weights made of them.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/interventions/kappa.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "tests/support/compare.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"
#include "tests/support/small_pairs.h"
#include "tests/support/stat_recorder.h"

namespace evenkeel::interventions {
namespace {

/// What a forward pass says of its attention: per-head statistics, and what enters the products.
struct Heard : test::StatRecorder, nn::QueryKeySink {
  std::vector<at::Tensor> queries, keys;
  std::vector<kernels::ScoreRule> rules;
  std::vector<at::Tensor> sinks;
  void query_key(std::string_view, const at::Tensor& q, const at::Tensor& k, const kernels::ScoreRule& rule,
                 bool, const at::Tensor& sink) override {
    queries.push_back(q);
    keys.push_back(k);
    rules.push_back(rule);
    sinks.push_back(sink);
  }
};

Heard hear(const Experiment& e, double weight_factor = 1) {
  const c10::AutoGradMode no_grad(false);
  const auto model = train::build_model(e);
  for (nn::Param* p : model->parameters())
    if (p->name.ends_with("q.weight") || p->name.ends_with("k.weight")) p->value.mul_(weight_factor);
  Heard heard;
  nn::Context context = train::pass_context(e.train);
  context.stats = &heard;
  context.query_key = &heard;
  model->forward(test::random_batch(e, 4, 1).first, context);
  return heard;
}

constexpr OpPath kPaths[] = {OpPath::kPlain, OpPath::kFused};

/// As after some training: heads h at 0.5 - h.
void move_sinks(nn::Module& model) {
  const c10::AutoGradMode no_grad(false);
  for (nn::Param* p : model.parameters())
    if (p->name.ends_with(".sink"))
      for (std::int64_t h = 0; h < p->value.numel(); ++h)
        p->value.narrow(0, h, 1).fill_(0.5 - static_cast<double>(h));
}

models::Batch batch_for(const Experiment& e) {
  const at::Tensor inputs = test::random_batch(e, 2, 1).first;
  return {inputs, {}, e.arch.family == Family::kSeq2Seq ? inputs : at::Tensor()};
}

// K = 16: 1 / K is a quarter of 1 / sqrt(K), to the bit.
TEST(AttentionScale, DividesByTheWidthOfAHead) {
  for (const OpPath path : kPaths) {
    Experiment e = test::small_experiment();
    e.train.ops = path;
    const Heard usual = hear(e);
    e.interventions.attention_scale = AttentionScale::kWidth;
    const Heard narrow = hear(e);
    EXPECT_EQ(usual.rules.at(0).scale, 0.25);
    EXPECT_EQ(narrow.rules.at(0).scale, 0.0625);
    for (const char* key : {"attn/layer00/logit_absmax", "attn/layer00/logit_rms"})
      for (std::size_t h = 0; h < 2; ++h)
        EXPECT_NEAR(narrow.values.at(key)[h] / usual.values.at(key)[h], 0.25, 1e-6) << key;
  }
}

TEST(AttentionSoftcap, NoRecordedLogitReachesTheCap) {
  for (const OpPath path : kPaths) {
    Experiment e = test::small_experiment();
    e.train.ops = path;
    const Heard free = hear(e, 20);
    e.interventions.attention_softcap = 50;
    const Heard capped = hear(e, 20);
    for (std::size_t h = 0; h < 2; ++h) {
      const double before = free.values.at("attn/layer00/logit_max")[h];
      ASSERT_GT(before, 60);
      // tanh rises, so the largest logit stays the largest. 1e-4: scores of several hundred in fp32.
      EXPECT_NEAR(capped.values.at("attn/layer00/logit_max")[h], 50 * std::tanh(before / 50), 1e-4 * 50);
    }
  }
}

// The values of Gemma's cap of 50, by way of one score.
TEST(AttentionSoftcap, Values) {
  kernels::ScoreRule rule{1, 50};
  for (const auto& [z, expected] : {std::pair{10.0, 9.868766}, {50.0, 38.0797078}, {100.0, 48.2013790}}) {
    ops::AttentionInputs in;
    in.x = at::cat(
        {at::full({1, 1}, z, at::kDouble), at::full({1, 1}, 1.0, at::kDouble), at::ones({1, 1}, at::kDouble)},
        1);
    std::vector<kernels::AttentionStats> stats;
    ops::AttentionOptions options;
    options.score = rule;
    ops::attention_reference(in, options, ops::Rounding::kNone, &stats);
    EXPECT_NEAR(stats.at(0).logit_max, expected, 1e-6);
  }
}

// Wortsman et al. 2023, Figure 10: at kappa = 10 and K = 64, random vectors have logits of standard deviation
// 10 and equal ones 10 sqrt(64) = 80.
TEST(Kappa, DecidesTheSizeOfLogits) {
  for (const OpPath path : kPaths)
    for (const double factor : {1e-3, 1.0, 1e3}) {
      Experiment e = test::small_experiment(128, 2, 2, 64);
      e.train.ops = path;
      e.interventions.kappa = 10;
      const Heard heard = hear(e, factor);
      for (std::size_t layer = 0; layer < 2; ++layer) {
        for (const at::Tensor& vectors : {heard.queries[layer], heard.keys[layer]}) {
          const at::Tensor own = vectors.square().sum(-1) * heard.rules[layer].scale;
          EXPECT_LT((own - 80).abs().max().item<double>(), 80 * 1e-5);  // fp32 vectors
        }
        const at::Tensor z =
            at::matmul(heard.queries[layer], heard.keys[layer].transpose(1, 2)) * heard.rules[layer].scale;
        EXPECT_NEAR(z.square().mean().sqrt().item<double>(), 10, 1);  // tokens share directions, so not 0.3
      }
    }
}

TEST(Kappa, AVectorOfZerosStaysZeroAndHasAFiniteGradient) {
  Experiment e = test::small_experiment();
  e.interventions.kappa = 10;
  const auto model = train::build_model(e);
  {
    const c10::AutoGradMode no_grad(false);
    for (nn::Param* p : model->parameters())
      if (p->name.ends_with("q.weight")) p->value.zero_();
  }
  const at::Tensor y = model->forward(test::random_batch(e, 2, 1).first, {});
  y.square().mean().backward();
  for (const nn::Param* p : model->parameters())
    EXPECT_TRUE(std::isfinite(p->value.grad().abs().sum().item<double>())) << p->name;
}

// Both families, both paths: the fused path computes what the plain one does, with the gradients.
TEST(ScoreTreatments, PathsAgreeOnEveryFamily) {
  for (const auto& [family, name] : EnumNames<Family>::names)
    for (int treatment = 0; treatment < 7; ++treatment) {
      Experiment e = test::small_experiment();
      e.arch.family = family;
      if (treatment == 4) e.interventions.attention_sink = AttentionSink::kLearnable;
      if (treatment == 5) e.interventions.attention_sink = AttentionSink::kOffByOne;
      if (treatment == 6) e.interventions.attention_function = AttentionFunction::kSquaredRelu;
      if (treatment != 1) e.interventions.attention_scale = AttentionScale::kWidth;
      if (treatment != 2) e.interventions.attention_softcap = 1;
      if (treatment == 2) e.interventions.kappa = 3;
      if (treatment == 3) e.interventions.qk_norm = QkNorm::kPerHead;
      const auto run = [&](OpPath path) {
        e.train.ops = path;
        auto model = train::build_model(e);
        move_sinks(*model);
        const at::Tensor inputs = test::random_batch(e, 2, 1).first;
        const models::Batch batch{inputs, {}, family == Family::kSeq2Seq ? inputs : at::Tensor()};
        at::Tensor y = model->forward(batch, train::pass_context(e.train));
        y.square().mean().backward();
        return std::pair{y.detach(), std::move(model)};
      };
      const auto [fused, fused_model] = run(OpPath::kFused);
      const auto [plain, plain_model] = run(OpPath::kPlain);
      EXPECT_LT(test::distance(fused, plain), test::kFp32) << name << " " << treatment;
      const auto left = fused_model->parameters(), right = plain_model->parameters();
      for (std::size_t i = 0; i < left.size(); ++i) {
        const at::Tensor& gradient = right[i]->value.grad();
        if (gradient.abs().max().item<double>() < 1e-12)
          continue;  // a key bias without rotation: noise on both
        EXPECT_LT(test::distance(left[i]->value.grad(), gradient), 20 * test::kFp32)
            << name << " " << left[i]->name;
      }
    }
}

// After one clip the largest logit of the same tokens is tau in every head that had exceeded it, and as it
// was in the others.
TEST(QkClip, BringsTheLargestLogitOfAHeadBackToTau) {
  for (const OpPath path : kPaths)
    for (const bool bias : {false, true}) {
      const c10::AutoGradMode no_grad(false);
      Experiment e = test::small_experiment(32, 1, 4);
      e.arch.bias = bias;
      e.train.ops = path;
      e.interventions.qk_clip = 3;
      const auto model = train::build_model(e);
      std::int64_t head = 0;
      for (nn::Param* p : model->parameters()) {
        if (!p->name.ends_with(".q.weight")) continue;
        for (const double factor : {0.01, 3.0, 10.0, 1.0}) p->value.narrow(0, 8 * head++, 8).mul_(factor);
      }
      nn::Context context = train::pass_context(e.train);
      const at::Tensor inputs = test::random_batch(e, 4, 1).first;
      const auto largest = [&](bool training) {
        Heard heard;
        context.stats = &heard;
        context.training = training;
        model->forward(inputs, context);
        EXPECT_EQ(heard.values.count("attn/layer00/qk_clip"), training ? 1u : 0u);
        return heard.values.at("attn/layer00/logit_max");
      };
      const std::vector<double> before = largest(true);
      EXPECT_LT(before[0], 3);
      EXPECT_GT(before[1], 3);
      EXPECT_GT(before[2], 3);
      model->visit([](nn::Module& module) { module.constrain_parameters(); });
      const std::vector<double> after = largest(false);
      for (std::size_t h = 0; h < 4; ++h)
        EXPECT_NEAR(after[h], std::min(before[h], 3.0), 3e-5) << h;  // fp32 products
      // Nothing is left over for the next update.
      model->visit([](nn::Module& module) { module.constrain_parameters(); });
      EXPECT_EQ(largest(false), after);
    }
}

// One number for each head, or for each of its values: on a zero matrix every gate is one half.
TEST(OutputGate, HalvesAtZeroAndIsReported) {
  for (const OpPath path : kPaths)
    for (const auto& [family, name] : EnumNames<Family>::names)
      for (const OutputGate gate : {OutputGate::kHeadwise, OutputGate::kElementwise}) {
        const c10::AutoGradMode no_grad(false);
        Experiment e = test::small_experiment();
        e.arch.family = family;
        e.train.ops = path;
        const auto bare = train::build_model(e);
        e.interventions.output_gate = gate;
        const auto model = train::build_model(e);
        for (nn::Param* p : model->parameters())
          if (p->name.ends_with(".gate.weight")) {
            EXPECT_EQ(p->value.size(0), gate == OutputGate::kHeadwise ? 2 : 32);
            p->value.zero_();
          }
        // Halving what heads give is halving W_o.
        for (nn::Param* p : bare->parameters())
          if (p->name.ends_with(".o.weight")) p->value.mul_(0.5);
        const at::Tensor inputs = test::random_batch(e, 2, 1).first;
        const models::Batch batch{inputs, {}, family == Family::kSeq2Seq ? inputs : at::Tensor()};
        Heard heard;
        nn::Context context = train::pass_context(e.train);
        const at::Tensor expected = bare->forward(batch, context);
        context.stats = &heard;
        EXPECT_LT(test::distance(model->forward(batch, context), expected), test::kFp32) << name;
        int reports = 0;
        for (const auto& [key, values] : heard.values) {
          if (!key.ends_with("/gate_mean") && !key.ends_with("/gate_closed")) continue;
          ++reports;
          const double share = key.ends_with("/gate_mean") ? 0.5 : 0;
          EXPECT_EQ(values, std::vector<double>({share, share})) << key;
        }
        EXPECT_EQ(reports,
                  family == Family::kSeq2Seq ? 12 : 4);  // 2 layers of one attention, or of one and two
      }
}

TEST(OutputGate, StatisticsLeavePaddingOut) {
  const c10::AutoGradMode no_grad(false);
  Experiment e = test::small_pair_experiment();
  e.interventions.output_gate = OutputGate::kHeadwise;
  const auto model = train::build_model(e);
  nn::Context context = train::pass_context(e.train);
  const std::vector<std::int64_t> sources{3, 9}, targets{7, 2};
  const models::Batch batch = test::random_pairs(e, sources, targets, 1);
  const auto heard_of = [&](const models::Batch& read) {
    Heard heard;
    context.stats = &heard;
    model->forward(read, context);
    return heard.values;
  };
  const auto together = heard_of(batch), first = heard_of(batch.example(0)),
             second = heard_of(batch.example(1));
  int reports = 0;
  for (const auto& [key, values] : together) {
    if (!key.ends_with("/gate_mean") && !key.ends_with("/gate_closed")) continue;
    ++reports;
    // Gates are of queries: of the encoder's tokens there, else of the decoder's.
    const auto& lengths = key.find("encoder") != std::string::npos ? sources : targets;
    const auto a = static_cast<double>(lengths[0]), b = static_cast<double>(lengths[1]);
    for (std::size_t head = 0; head < values.size(); ++head)
      EXPECT_NEAR(values[head], (a * first.at(key)[head] + b * second.at(key)[head]) / (a + b), 1e-5)
          << key;  // fp32 over other shapes
  }
  EXPECT_EQ(reports, 12);
}

// One logit for each head of every attention, from 0 and spared weight decay; at 0 it is softmax off by one.
TEST(AttentionSink, ALearnableOneBeginsAsSoftmaxOffByOne) {
  for (const OpPath path : kPaths)
    for (const auto& [family, name] : EnumNames<Family>::names) {
      Experiment e = test::small_experiment();
      e.arch.family = family;
      e.train.ops = path;
      const nn::Context context = train::pass_context(e.train);
      const auto logits = [&](AttentionSink sink, std::int64_t sinks) {
        e.interventions.attention_sink = sink;
        const auto model = train::build_model(e);
        std::int64_t found = 0;
        for (const nn::Param* p : model->parameters()) {
          if (!p->name.ends_with(".sink")) continue;
          ++found;
          EXPECT_EQ(p->value.sizes(), at::IntArrayRef({2}));
          EXPECT_EQ(p->value.abs().max().item<double>(), 0);
          EXPECT_FALSE(p->is_matrix());
        }
        EXPECT_EQ(found, sinks) << name;
        const at::Tensor y = model->forward(batch_for(e), context);
        y.square().mean().backward();
        for (const nn::Param* p : model->parameters()) {
          if (!p->name.ends_with(".sink")) continue;
          EXPECT_GT(p->value.grad().abs().min().item<double>(), 0) << p->name;
        }
        return y.detach();
      };
      // Of two layers with one attention, or with one and two.
      const at::Tensor learnable = logits(AttentionSink::kLearnable, family == Family::kSeq2Seq ? 6 : 2),
                       off_by_one = logits(AttentionSink::kOffByOne, 0), off = logits(AttentionSink::kOff, 0);
      EXPECT_TRUE(learnable.equal(off_by_one)) << name;
      EXPECT_GT(test::distance(off, off_by_one), 1e-3) << name;
    }
}

// A sink far above every logit gets all of attention: heads give nothing, and the logits of the records,
// which QK-Clip goes by, are those of keys.
TEST(AttentionSink, AHeadMayLookAtNothing) {
  for (const OpPath path : kPaths) {
    const c10::AutoGradMode no_grad(false);
    Experiment e = test::small_experiment();
    e.train.ops = path;
    const auto plain = train::build_model(e);
    e.interventions.attention_sink = AttentionSink::kLearnable;
    const auto model = train::build_model(e);
    const auto hear_of = [&](models::Model& from) {
      Heard heard;
      nn::Context context = train::pass_context(e.train);
      context.stats = &heard;
      context.query_key = &heard;
      from.forward(batch_for(e), context);
      return heard;
    };
    const Heard without = hear_of(*plain), at_zero = hear_of(*model);
    EXPECT_EQ(without.values.count("attn/layer00/sink_share"), 0u);
    EXPECT_FALSE(without.sinks.at(0).defined());
    for (std::size_t h = 0; h < 2; ++h) {
      const double share = at_zero.values.at("attn/layer00/sink_share")[h];
      EXPECT_GT(share, 0.05);
      EXPECT_LT(share, 0.5);
    }
    for (nn::Param* p : model->parameters())
      if (p->name.ends_with(".sink")) p->value.fill_(100);
    const Heard far = hear_of(*model);
    EXPECT_EQ(far.sinks.at(0).scalar_type(), at::kDouble);
    EXPECT_EQ(far.sinks.at(0)[1].item<double>(), 100);
    for (const char* key : {"attn/layer00/logit_max", "attn/layer00/logit_absmax", "attn/layer00/logit_rms"})
      EXPECT_EQ(far.values.at(key), without.values.at(key)) << key;
    for (std::size_t h = 0; h < 2; ++h) {
      EXPECT_NEAR(far.values.at("attn/layer00/sink_share")[h], 1, 1e-6);
      EXPECT_NEAR(far.values.at("attn/layer00/entropy_norm")[h], 0, 1e-6);
    }
    // Nothing is left of attention: the same logits as with W_o of zeros.
    for (nn::Param* p : plain->parameters())
      if (p->name.ends_with(".o.weight")) p->value.zero_();
    const nn::Context context = train::pass_context(e.train);
    EXPECT_LT(test::distance(model->forward(batch_for(e), context), plain->forward(batch_for(e), context)),
              1e-6);
  }
}

TEST(AttentionFunction, WithoutADistributionNoEntropyIsRecorded) {
  for (const OpPath path : kPaths) {
    Experiment e = test::small_experiment();
    e.train.ops = path;
    const Heard softmax = hear(e);
    e.interventions.attention_function = AttentionFunction::kSquaredRelu;
    const Heard squared = hear(e);
    EXPECT_EQ(squared.values.size() + 2 * 2, softmax.values.size());  // two layers
    for (const auto& [key, values] : squared.values) {
      EXPECT_EQ(key.find("entropy"), std::string::npos) << key;
      for (const double value : values) EXPECT_TRUE(std::isfinite(value)) << key;
    }
    // Queries and keys of the first layer are the same, and so are their logits.
    for (const char* key : {"attn/layer00/logit_max", "attn/layer00/logit_rms", "attn/layer00/qk_cosine"})
      for (std::size_t h = 0; h < 2; ++h)
        EXPECT_NEAR(squared.values.at(key)[h], softmax.values.at(key)[h], 1e-5) << key;
    const auto model = train::build_model(e);
    nn::for_each_attention(*model, [&](nn::Attention& attention) {
      EXPECT_EQ(attention.op_uses(train::pass_context(e.train)).at(0).path, path);
    });
  }
}

// The length of a target must not reach the tokens before its end: squared ReLU divides by a length. The same
// logits come out of the first tokens alone, which is also what decoding computes.
TEST(AttentionFunction, TokensDoNotKnowHowManyFollow) {
  for (const OpPath path : kPaths)
    for (const auto& [family, name] : EnumNames<Family>::names) {
      const c10::AutoGradMode no_grad(false);
      Experiment e = test::small_experiment();
      e.arch.family = family;
      e.train.ops = path;
      e.interventions.attention_function = AttentionFunction::kSquaredRelu;
      const auto model = train::build_model(e);
      const nn::Context context = train::pass_context(e.train);
      models::Batch batch = batch_for(e);
      const std::int64_t all = batch.inputs.size(1), first = 5;
      const at::Tensor whole = model->forward(batch, context).view({2, all, -1}).narrow(1, 0, first);
      batch.inputs = batch.inputs.narrow(1, 0, first).contiguous();
      EXPECT_LT(test::distance(model->forward(batch, context).view({2, first, -1}), whole), test::kFp32)
          << name;
    }
}

}  // namespace
}  // namespace evenkeel::interventions
