#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "evenkeel/data/source.h"
#include "evenkeel/data/synthetic/language.h"
#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::data {
namespace {

std::vector<std::int32_t> sequence(const Language& language, std::uint64_t stream, std::size_t length) {
  std::vector<std::int32_t> tokens(length);
  language.sample(stream, tokens);
  return tokens;
}

struct MeanLoss {
  double mean = 0, error = 0;
};

// Mean ideal loss per token over sequences and its standard error, from the spread between sequences.
MeanLoss mean_ideal_loss(const Language& language, std::uint64_t first, std::uint64_t count,
                         std::size_t length) {
  double sum = 0, squares = 0;
  for (std::uint64_t i = first; i < first + count; ++i) {
    const auto losses = language.ideal_losses(sequence(language, i, length));
    const double mean =
        std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
    sum += mean;
    squares += mean * mean;
  }
  const auto n = static_cast<double>(count);
  return {sum / n, std::sqrt((squares / n - sum / n * sum / n) / (n - 1))};
}

TEST(SyntheticLanguage, EqualSpecAndStreamGiveEqualTokens) {
  const Language a({}), b({});
  EXPECT_EQ(sequence(a, 5, 129), sequence(b, 5, 129));
  EXPECT_NE(sequence(a, 5, 129), sequence(a, 6, 129));
  SyntheticSpec other;
  other.seed = 2;
  EXPECT_NE(sequence(a, 5, 129), sequence(Language(other), 5, 129));
}

// How many draws a table takes is known before they are made.
TEST(SyntheticLanguage, DrawsForTheSuccessorsAreForeseen) {
  SyntheticSpec spec;
  spec.vocab = 2;
  spec.zipf = 0;
  spec.successors = 1;
  EXPECT_LT(expected_draws(spec), 4);
  spec.vocab = 64;
  spec.successors = 64;
  // Collecting all of n equally likely tokens takes n H_n = 304 draws in the mean; half of the tables have
  // theirs somewhat earlier.
  EXPECT_NEAR(expected_draws(spec), 64 * 304, 64 * 60);
  spec.zipf = 4;
  EXPECT_GT(expected_draws(spec), 1e9);
  spec.successors = 4;
  EXPECT_LT(expected_draws(spec), 1e5);
}

// A prefix does not depend on how long the sequence is.
TEST(SyntheticLanguage, ShorterWindowsArePrefixes) {
  const Language language({});
  std::vector<std::int32_t> longer = sequence(language, 3, 200);
  longer.resize(50);
  EXPECT_EQ(longer, sequence(language, 3, 50));
}

// Without copies, topics and bigrams tokens are independent Zipf draws, so the ideal loss is the law's
// entropy.
TEST(SyntheticLanguage, IdealLossOfIndependentDrawsIsTheirEntropy) {
  SyntheticSpec spec;
  spec.vocab = 50;
  spec.topics = 1;
  spec.topic = 0;
  spec.bigram = 0;
  spec.copy = 0;
  double norm = 0, entropy = 0;
  for (int r = 1; r <= 50; ++r) norm += 1.0 / r;
  for (int r = 1; r <= 50; ++r) entropy -= 1 / (r * norm) * std::log(1 / (r * norm));
  const MeanLoss loss = mean_ideal_loss(Language(spec), 0, 400, 101);
  EXPECT_NEAR(loss.mean, entropy, 5 * loss.error);  // five standard errors of the sample mean
  EXPECT_LT(loss.error, 0.01);
}

// When each token has one successor and nothing else is drawn, only the first token is uncertain.
TEST(SyntheticLanguage, IdealLossIsZeroWhenTheTextIsCertain) {
  SyntheticSpec spec;
  spec.successors = 1;
  spec.bigram = 1;
  spec.copy = 0;
  const Language language(spec);
  for (const double loss : language.ideal_losses(sequence(language, 1, 100))) {
    EXPECT_NEAR(loss, 0, 1e-12);  // rounding of the topics' sum
  }
}

// The predictor's probabilities over the next token sum to one, after any prefix: it is a predictor, and by
// Gibbs' inequality the true one is the best.
TEST(SyntheticLanguage, IdealPredictorIsNormalised) {
  SyntheticSpec spec;
  spec.vocab = 12;
  const Language language(spec);
  for (const std::size_t length : {1u, 2u, 3u, 5u, 40u}) {
    std::vector<std::int32_t> tokens = sequence(language, length, length);
    tokens.push_back(0);
    double total = 0;
    for (std::int32_t next = 0; next < spec.vocab; ++next) {
      tokens.back() = next;
      total += std::exp(-language.ideal_losses(tokens).back());
    }
    EXPECT_NEAR(total, 1.0, 1e-12) << "after " << length << " tokens";  // rounding of some hundred additions
  }
}

// Tokens sampled after one fixed prefix occur as often as the predictor says: the sampler and the predictor
// describe one language. Prefix by rejection over short sequences.
TEST(SyntheticLanguage, SamplerAgreesWithThePredictor) {
  SyntheticSpec spec;
  spec.vocab = 4;
  spec.successors = 2;
  spec.topics = 2;
  spec.copy = 0.6;
  spec.copy_length = 3;
  spec.lag_min = 1;
  spec.lag_max = 2;
  const Language language(spec);
  const std::vector<std::int32_t> prefix{0, 1, 0};
  std::vector<double> counts(4);
  for (std::uint64_t stream = 0; stream < 200000; ++stream) {
    const auto tokens = sequence(language, stream, 4);
    if (std::equal(prefix.begin(), prefix.end(), tokens.begin()))
      ++counts[static_cast<std::size_t>(tokens[3])];
  }
  const double n = std::accumulate(counts.begin(), counts.end(), 0.0);
  ASSERT_GT(n, 1000);
  for (std::int32_t next = 0; next < 4; ++next) {
    auto tokens = prefix;
    tokens.push_back(next);
    const double p = std::exp(-language.ideal_losses(tokens).back());
    // Five standard deviations of a binomial frequency.
    EXPECT_NEAR(counts[static_cast<std::size_t>(next)] / n, p, 5 * std::sqrt(p * (1 - p) / n))
        << "id " << next;
  }
}

// The documented floor, on other sequences than those it was computed from.
TEST(SyntheticSource, FloorIsWhatAnIdealPredictorReaches) {
  const auto source = open_windows({}, 128);
  ASSERT_TRUE(source->facts().floor);
  const MeanLoss fresh = mean_ideal_loss(Language({}), 1000000, 512, 129);
  // Both are means over 512 independent sequences: five standard errors of their difference.
  EXPECT_NEAR(*source->facts().floor, fresh.mean, 5 * std::sqrt(2.0) * fresh.error);
  EXPECT_NEAR(*source->facts().floor, 0.947, 0.0005);  // docs/design/synthetic_language.md
  EXPECT_NEAR(source->facts().unigram_entropy, 4.032, 0.0005);
  EXPECT_LT(*source->facts().floor, *source->facts().bigram_entropy);
  EXPECT_LT(*source->facts().bigram_entropy, source->facts().unigram_entropy);
}

TEST(SyntheticSource, CopiedShareIsAsAsked) {
  SyntheticSpec spec;
  spec.vocab = 65536;  // uniform draws: a token equal to the one two back is all but surely a copy
  spec.zipf = 0;
  spec.bigram = 0;
  spec.copy = 0.5;
  spec.lag_min = spec.lag_max = 2;
  const Language language(spec);
  double copies = 0, all = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const auto tokens = sequence(language, i, 500);
    for (std::size_t t = 50; t < tokens.size(); ++t, ++all) copies += tokens[t] == tokens[t - 2] ? 1 : 0;
  }
  // About 135000 tokens in stretches of mean length 10: some 5000 independent ones, five standard deviations.
  EXPECT_NEAR(copies / all, 0.5, 0.035);
}

TEST(SyntheticSource, EndlessTrainingAndDisjointValidation) {
  DataSpec spec;
  spec.valid_tokens = 64 * 32;
  const auto source = open_windows(spec, 32);
  EXPECT_EQ(source->windows(Split::kTrain), -1);
  EXPECT_EQ(source->windows(Split::kValid), 64);
  EXPECT_EQ(source->facts().train_tokens, -1);
  std::set<std::vector<std::int32_t>> train;
  std::vector<std::int32_t> window(33);
  for (std::int64_t i = 0; i < 200; ++i) {
    source->read(Split::kTrain, i, window);
    train.insert(window);
  }
  source->read(Split::kTrain, (std::int64_t{1} << 62) - 1, window);
  for (const std::int32_t id : window) EXPECT_LT(id, source->vocab());
  for (std::int64_t i = 0; i < 64; ++i) {
    source->read(Split::kValid, i, window);
    EXPECT_EQ(train.count(window), 0u);
  }
}

TEST(SyntheticSource, ContradictionsAreErrors) {
  DataSpec spec;
  spec.synthetic.lag_min = 5;
  expect_all_in(input_error([&] { open_windows(spec, 128); }),
                {"[data.synthetic.lag_min] must be <=", "lag_max = 4, got 5"});
  spec = {};
  spec.synthetic.vocab = 3;
  expect_all_in(input_error([&] { open_windows(spec, 128); }),
                {"[data.synthetic.successors]", "vocab = 3, got 4"});
  spec = {};
  spec.synthetic.lag_max = 200;
  expect_all_in(input_error([&] { open_windows(spec, 128); }),
                {"[arch.context]", "lag_max = 200", "got 128"});
}

TEST(SyntheticSource, FingerprintFollowsTheLanguage) {
  DataSpec a, b;
  b.synthetic.copy = 0.5;
  EXPECT_NE(open_windows(a, 16)->fingerprint(), open_windows(b, 16)->fingerprint());
  EXPECT_EQ(open_windows(a, 16)->fingerprint(), open_windows(a, 32)->fingerprint());
}

}  // namespace
}  // namespace evenkeel::data
