#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/data/pairs/pair_source.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::data {
namespace {

std::vector<PairLength> random_lengths(std::int64_t n) {
  Rng rng(1, "test/lengths");
  std::vector<PairLength> lengths;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto source = static_cast<std::int64_t>(2 + rng.below(18));
    lengths.push_back(
        {source, std::max<std::int64_t>(1, source + static_cast<std::int64_t>(rng.below(5)) - 2)});
  }
  return lengths;
}

std::vector<std::int64_t> all(std::int64_t n) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < n; ++i) numbers.push_back(i);
  return numbers;
}

TEST(PairBatches, EveryEpochHoldsEveryPairOnceWithinTheLimit) {
  const auto lengths = random_lengths(1000);
  const PairBatches batches(lengths, all(1000), 120);
  std::vector<std::vector<std::int64_t>> epochs(3);
  std::int64_t cells = 0, words = 0;
  for (std::int64_t step = 0; step < 3 * batches.size(); ++step) {
    const auto pairs = batches.shuffled(step, 7);
    ASSERT_FALSE(pairs.empty());
    std::int64_t longest = 0;
    for (const std::int64_t i : pairs) {
      const PairLength& l = lengths[static_cast<std::size_t>(i)];
      longest = std::max({longest, l.source, l.target});
      words += l.source + l.target;
      epochs[static_cast<std::size_t>(step / batches.size())].push_back(i);
    }
    cells += 2 * longest * std::ssize(pairs);
    EXPECT_LE(longest * std::ssize(pairs), 120);
  }
  for (auto& epoch : epochs) {
    EXPECT_EQ(epoch.size(), 1000u);
    EXPECT_EQ(std::set(epoch.begin(), epoch.end()).size(), 1000u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  // Sorted by length, the rest is the difference of the two sides: 1 of 10 tokens here.
  EXPECT_GT(words, cells * 8 / 10);
}

TEST(PairBatches, DependOnStepAndSeedOnly) {
  const auto lengths = random_lengths(200);
  const PairBatches first(lengths, all(200), 64), again(lengths, all(200), 64);
  std::vector<std::vector<std::int64_t>> in_turn;
  for (std::int64_t step = 0; step < 40; ++step) in_turn.push_back(first.shuffled(step, 3));
  for (std::int64_t step = 39; step >= 20; --step)
    EXPECT_EQ(again.shuffled(step, 3), in_turn[static_cast<std::size_t>(step)]);
  std::vector<std::vector<std::int64_t>> other;
  for (std::int64_t step = 0; step < 40; ++step) other.push_back(first.shuffled(step, 4));
  EXPECT_NE(other, in_turn);
}

TEST(PairBatches, EqualLengthsMeetOthersInEveryEpoch) {
  const std::vector<PairLength> lengths(64, PairLength{4, 4});
  const PairBatches batches(lengths, all(64), 16);
  ASSERT_EQ(batches.size(), 16);
  std::set<std::set<std::int64_t>> seen;
  for (std::int64_t step = 0; step < 48; ++step) {
    const auto pairs = batches.shuffled(step, 1);
    seen.insert({pairs.begin(), pairs.end()});
  }
  EXPECT_GT(seen.size(), 40u);  // 16 without the second shuffle
}

DataSpec task_spec(PairTask task) {
  DataSpec spec;
  spec.kind = DataKind::kSyntheticPairs;
  spec.pairs = {task, 10, 3, 9, 300, 5};
  spec.valid_tokens = 200;
  return spec;
}

TEST(PairTask, TargetsAreWhatTheTaskSays) {
  for (const PairTask task : {PairTask::kCopy, PairTask::kReverse, PairTask::kSort}) {
    const PairSource source(make_pair_task(task_spec(task)), task_spec(task), 16);
    EXPECT_EQ(source.vocab(), 14);
    EXPECT_EQ(source.part(Split::kTrain).size(), 300);
    std::set<std::size_t> lengths;
    for (std::int64_t i = 0; i < 300; ++i) {
      auto from = source.part(Split::kTrain).source.read(i);
      const auto to = source.part(Split::kTrain).target.read(i);
      ASSERT_EQ(from.back(), PairIds::kEnd);
      if (task == PairTask::kReverse) std::reverse(from.begin(), from.end() - 1);
      if (task == PairTask::kSort) std::sort(from.begin(), from.end() - 1);
      EXPECT_EQ(from, to);
      EXPECT_TRUE(std::all_of(from.begin(), from.end() - 1, [](int id) { return id >= 4 && id < 14; }));
      lengths.insert(from.size());
    }
    EXPECT_EQ(lengths, (std::set<std::size_t>{4, 5, 6, 7, 8, 9, 10}));
    EXPECT_GE(source.facts().valid_tokens, 200);
    EXPECT_LT(source.facts().valid_tokens, 210);
    EXPECT_NEAR(source.facts().unigram_entropy, 2.3, 0.2);  // about ln 11: ten symbols and the end
    EXPECT_FALSE(source.facts().occurs[PairIds::kPad]);
  }
  DataSpec other = task_spec(PairTask::kCopy), same = other;
  other.pairs.seed = 6;
  EXPECT_EQ(make_pair_task(same).fingerprint, make_pair_task(task_spec(PairTask::kCopy)).fingerprint);
  EXPECT_NE(make_pair_task(other).fingerprint, make_pair_task(same).fingerprint);
}

TEST(PairLoader, RowsArePaddedAndShifted) {
  const DataSpec spec = task_spec(PairTask::kReverse);
  const PairSource source(make_pair_task(spec), spec, 16);
  const auto loader = source.loader({16, 0, 64, 1});
  std::int64_t targets = 0;
  for (std::int64_t step = 0; loader->epochs(step) < 1; ++step) {
    const HostBatch b = loader->train_batch(step);
    ASSERT_EQ(std::ssize(b.sources), b.rows * b.source_cols);
    EXPECT_LE(b.rows * std::max(b.cols, b.source_cols), 64);
    for (std::int64_t row = 0; row < b.rows; ++row) {
      const auto n = b.lengths[static_cast<std::size_t>(row)];
      const auto at = [&](const std::vector<std::int32_t>& v, std::int64_t t) {
        return v[static_cast<std::size_t>(row * b.cols + t)];
      };
      EXPECT_EQ(at(b.inputs, 0), PairIds::kBos);
      EXPECT_EQ(at(b.targets, n - 1), PairIds::kEnd);
      for (std::int64_t t = 0; t < b.cols; ++t) {
        const bool padding = t >= n;
        EXPECT_EQ(at(b.targets, t) == kNoTarget, padding);
        EXPECT_EQ(at(b.inputs, t) == PairIds::kPad, padding);
        EXPECT_TRUE(t + 1 >= n || at(b.inputs, t + 1) == at(b.targets, t));
      }
      const auto m = b.source_lengths[static_cast<std::size_t>(row)];
      EXPECT_EQ(b.sources[static_cast<std::size_t>(row * b.source_cols + m - 1)], PairIds::kEnd);
      for (std::int64_t t = m; t < b.source_cols; ++t)
        EXPECT_EQ(b.sources[static_cast<std::size_t>(row * b.source_cols + t)], PairIds::kPad);
    }
    targets += std::count_if(b.targets.begin(), b.targets.end(), [](int id) { return id >= 0; });
  }
  EXPECT_EQ(targets, source.facts().train_tokens);
}

// A folder as `evenkeel data tokenize --pairs` writes it.
class PairFolder : public testing::Test {
 protected:
  using Rows = std::vector<std::vector<std::int32_t>>;

  PairsFile::Side write_side(const char* part, const char* side, const Rows& rows) {
    std::vector<std::int32_t> ids;
    for (const auto& row : rows) {
      ids.insert(ids.end(), row.begin(), row.end());
      ids.push_back(PairIds::kEnd);
    }
    const std::string bytes = pack_ids(ids, 2);
    write_file(folder_.path() / pairs_bin_name(part, side), bytes);
    return {std::ssize(ids), content_hash(bytes), 10};
  }
  void write(const Rows& sources, const Rows& targets) {
    file_.vocab = 8;
    file_.pieces.resize(8);
    for (const auto& [name, part] : {std::pair{"train", &file_.train}, std::pair{"valid", &file_.valid}})
      *part = {std::ssize(sources), write_side(name, "source", sources), write_side(name, "target", targets)};
    write_pairs_file(folder_.path(), file_);
    spec_.path = folder_.path().string();
  }
  std::string error() {
    try {
      open_source(spec_, 4);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  }

  test::TempFolder folder_;
  PairsFile file_;
  DataSpec spec_;
};

TEST_F(PairFolder, IsFoundAndReadBack) {
  write({{4, 5}, {6}, {4, 4, 4, 4}}, {{5}, {}, {7}});
  EXPECT_EQ(read_pairs_file(folder_.path()), file_);
  const auto source = open_source(spec_, 4);
  EXPECT_EQ(facts_for_resolve(*source, spec_).kind, DataKind::kPairs);
  const auto& pairs = dynamic_cast<const PairSource&>(*source);
  EXPECT_EQ(pairs.used(Split::kTrain), (std::vector<std::int64_t>{0, 1}));  // the third needs 5 tokens
  EXPECT_NE(pairs.facts().name.find("1 longer than 4 tokens left out"), std::string::npos);
  EXPECT_EQ(pairs.part(Split::kTrain).source.read(0), (std::vector<std::int32_t>{4, 5, PairIds::kEnd}));
  EXPECT_EQ(pairs.part(Split::kTrain).target.length(1), 1);
}

TEST_F(PairFolder, WrongContentIsNamed) {
  write({{4, 5}, {6}}, {{5}, {7}});
  write_file(folder_.path() / "train.target.bin", std::string("\x05\0\x02\0\x07\0\x03\0", 8));
  EXPECT_NE(error().find("train.target.bin: the content does not match"), std::string::npos) << error();
  write({{4, 5}, {9}}, {{5}, {7}});
  EXPECT_NE(error().find("token id 9 is not below the vocabulary of 8"), std::string::npos) << error();
  write({{4, 5}, {6}}, {{5}});
  EXPECT_NE(error().find("promises 2 pairs in train"), std::string::npos) << error();
  write({{4, 5, 6, 7}}, {{5}});
  EXPECT_NE(error().find("no pair for training fits into arch.context = 4"), std::string::npos) << error();
  EXPECT_THROW(open_test_pairs(folder_.path()), InputError);
}

}  // namespace
}  // namespace evenkeel::data
