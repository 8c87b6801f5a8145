#include "evenkeel/data/text_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::data {
namespace {

Facts facts_of(const ScratchFolder& scratch, const std::string& valid) {
  DataSpec spec;
  spec.path = scratch.write("train.txt", valid);
  spec.valid_path = scratch.write("valid.txt", valid);
  return open_windows(spec, 4)->facts();
}

TEST(TextStatistics, KnownAnswers) {
  ScratchFolder scratch;
  // Alternating ids: one bit of unigram entropy, the next id is certain. 401 bytes: 400 targets.
  std::string alternating;
  for (int i = 0; i < 401; ++i) alternating += i % 2 ? 'b' : 'a';
  const Facts certain = facts_of(scratch, alternating);
  EXPECT_NEAR(certain.unigram_entropy, std::log(2.0), 1e-12);
  ASSERT_TRUE(certain.bigram_entropy);
  EXPECT_NEAR(*certain.bigram_entropy, 0.0, 1e-12);

  // The cycle a a b b: each id is followed by either one equally often.
  std::string pairs;
  for (int i = 0; i < 401; ++i) pairs += i % 4 < 2 ? 'a' : 'b';
  const Facts coin = facts_of(scratch, pairs);
  EXPECT_NEAR(coin.unigram_entropy, std::log(2.0), 1e-12);
  EXPECT_NEAR(coin.bigram_entropy.value(), std::log(2.0), 1e-12);

  // One id only.
  const Facts constant = facts_of(scratch, std::string(401, 'x'));
  EXPECT_DOUBLE_EQ(constant.unigram_entropy, 0.0);
  EXPECT_DOUBLE_EQ(constant.bigram_entropy.value(), 0.0);
}

TEST(TextStatistics, NoBigramEntropyFromTooFewTokens) {
  ScratchFolder scratch;
  // 200 targets of 200 different pairs over few ids: the plug-in value would be near 0 whatever the text.
  std::string text;
  for (int a = 0; a < 15; ++a)
    for (int b = 0; b < 15; ++b) text += {static_cast<char>('a' + a), static_cast<char>('A' + b)};
  EXPECT_FALSE(facts_of(scratch, text).bigram_entropy);
}

TEST(TextStatistics, OnlyTheFixedValidationSetCounts) {
  ScratchFolder scratch;
  DataSpec spec;
  spec.path = scratch.write("train.txt", std::string(50, 'z'));
  spec.valid_path = scratch.write("valid.txt", std::string(41, 'a') + std::string(60, 'b'));
  spec.valid_tokens = 40;
  EXPECT_DOUBLE_EQ(open_windows(spec, 4)->facts().unigram_entropy, 0.0);
  spec.valid_tokens = 1000;
  EXPECT_GT(open_windows(spec, 4)->facts().unigram_entropy, 0.6);
}

}  // namespace
}  // namespace evenkeel::data
