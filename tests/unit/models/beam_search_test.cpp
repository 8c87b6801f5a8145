#include "evenkeel/models/beam_search.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/small_pairs.h"

namespace evenkeel::models {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int64_t kVocab = 9;

/// Weights twice as large as drawn, so that the untrained model has preferences.
std::unique_ptr<models::Model> model_with_opinions(std::int64_t seed) {
  Experiment e = test::small_pair_experiment(16, 2, 2, 2, kVocab);
  e.train.seed = seed;
  auto model = train::build_model(e);
  const c10::AutoGradMode no_grad(false);
  for (nn::Param* p : model->parameters())
    if (p->role != nn::Role::kGain) p->value.mul_(2);
  return model;
}

const Seq2Seq& seq2seq(const models::Model& model) {
  return dynamic_cast<const Seq2Seq&>(model);
}

/// ln p of every id after `prefix`: one pass as in training.
std::vector<double> next(const Seq2Seq& model, const Ids& source, const Ids& prefix) {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::int64_t> inputs{PairIds::kBos};
  inputs.insert(inputs.end(), prefix.begin(), prefix.end());
  Batch batch;
  batch.sources = at::tensor(std::vector<std::int64_t>(source.begin(), source.end())).unsqueeze(0);
  batch.inputs = at::tensor(inputs).unsqueeze(0);
  const at::Tensor logits = model.forward(batch, {}).select(0, std::ssize(prefix));
  const at::Tensor p = at::log_softmax(logits.to(at::kDouble), 0).contiguous();
  return {p.data_ptr<double>(), p.data_ptr<double>() + kVocab};
}

struct Found {
  Ids ids;
  double score = -1e300;
};

/// The best of all sentences of at most `most` words, each scored by the formula.
void try_all(const Seq2Seq& model, const Ids& source, Ids& prefix, double sum, std::int64_t most,
             double alpha, Found& best) {
  const std::vector<double> p = next(model, source, prefix);
  const double score = (sum + p[PairIds::kEnd]) / std::pow(static_cast<double>(prefix.size() + 1), alpha);
  if (score > best.score) best = {prefix, score};
  if (std::ssize(prefix) == most) return;
  for (std::int32_t id = PairIds::kUnknown; id < kVocab; ++id) {
    prefix.push_back(id);
    try_all(model, source, prefix, sum + p[static_cast<std::size_t>(id)], most, alpha, best);
    prefix.pop_back();
  }
}

// A beam that holds every prefix leaves nothing out: 6^3 of them with three words.
TEST(BeamSearch, AWideBeamFindsTheBestOfAllSentences) {
  std::size_t longest = 0;
  for (std::int64_t seed = 1; seed <= 6; ++seed) {
    const auto model = model_with_opinions(seed);
    const Ids source{5, 7, 4, PairIds::kEnd};
    for (const double alpha : {0.0, 1.0, 2.0}) {
      Found best;
      Ids prefix;
      try_all(seq2seq(*model), source, prefix, 0, 3, alpha, best);
      const BeamSearch search{.beam = 250, .length_penalty = alpha, .longest_factor = 0, .longest_extra = 4};
      EXPECT_EQ(translate(seq2seq(*model), source, search, {}), best.ids) << seed << " " << alpha;
      longest = std::max(longest, best.ids.size());
    }
  }
  EXPECT_EQ(longest, 3u) << "no best sentence used the length there was: the test would not see a fault";
}

TEST(BeamSearch, OneBeamIsGreedy) {
  for (std::int64_t seed = 1; seed <= 6; ++seed) {
    const auto model = model_with_opinions(seed);
    const Ids source{8, 4, PairIds::kEnd};
    Ids greedy;
    while (std::ssize(greedy) < 7) {
      const std::vector<double> p = next(seq2seq(*model), source, greedy);
      const auto best = std::max_element(p.begin() + PairIds::kEnd, p.end()) - p.begin();
      if (best == PairIds::kEnd) break;
      greedy.push_back(static_cast<std::int32_t>(best));
    }
    const BeamSearch search{.beam = 1, .longest_factor = 1, .longest_extra = 5};
    EXPECT_EQ(translate(seq2seq(*model), source, search, {}), greedy) << seed;
  }
}

// The fused path in its run's precision is what translations are made with.
TEST(BeamSearch, FusedTranslatesAsPlain) {
  const auto model = model_with_opinions(3);
  for (const Ids& source : {Ids{5, 7, 4, 6, PairIds::kEnd}, Ids{4, PairIds::kEnd}})
    EXPECT_EQ(translate(seq2seq(*model), source, {}, {.ops = OpPath::kFused}),
              translate(seq2seq(*model), source, {}, {.ops = OpPath::kPlain}));
}

TEST(BeamSearch, AnEndlessModelStopsAtTheContext) {
  const auto model = model_with_opinions(1);
  const BeamSearch search{.beam = 2, .longest_factor = 100};
  EXPECT_LT(translate(seq2seq(*model), {4, PairIds::kEnd}, search, {}).size(), 12u);
  EXPECT_THROW(translate(seq2seq(*model), Ids(13, 4), search, {}), InputError);
}

TEST(BeamSearch, WhatIsNotANumberIsNoTranslation) {
  const auto model = model_with_opinions(1);
  const c10::AutoGradMode no_grad(false);
  model->parameters()[0]->value.fill_(std::nan(""));
  EXPECT_THROW(translate(seq2seq(*model), {4, PairIds::kEnd}, {}, {}), InputError);
}

}  // namespace
}  // namespace evenkeel::models
