#include <gtest/gtest.h>

#include <map>
#include <set>

#include "evenkeel/data/source.h"
#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::data {
namespace {

constexpr std::int64_t kContext = 16, kBatch = 4;

// Text whose windows all differ: windows of 16 bytes begin with their own number.
std::string numbered_text(int windows) {
  std::string text;
  for (int i = 0; i < windows; ++i) {
    std::string part = std::to_string(i);
    part.resize(kContext, '.');
    text += part;
  }
  return text;
}

std::vector<std::vector<std::int32_t>> rows(const HostBatch& batch) {
  std::vector<std::vector<std::int32_t>> result;
  for (std::int64_t r = 0; r < batch.rows; ++r) {
    const auto begin = batch.inputs.begin() + r * batch.cols;
    result.emplace_back(begin, begin + batch.cols);
  }
  return result;
}

class LoaderTest : public testing::Test {
 protected:
  LoaderTest() { spec_.path = scratch_.write("text.txt", numbered_text(50)); }
  ScratchFolder scratch_;
  DataSpec spec_;
};

TEST_F(LoaderTest, TargetsAreInputsOneLater) {
  const auto source = open_windows(spec_, kContext);
  const HostBatch batch = WindowLoader(*source, kContext, kBatch, 1).train_batch(3);
  ASSERT_EQ(batch.rows, kBatch);
  ASSERT_EQ(batch.cols, kContext);
  for (std::size_t r = 0; r < kBatch; ++r) {
    for (std::size_t t = 0; t + 1 < kContext; ++t) {
      EXPECT_EQ(batch.targets[r * kContext + t], batch.inputs[r * kContext + t + 1]);
    }
  }
}

TEST_F(LoaderTest, EveryEpochHoldsEachWindowOnceInAFreshOrder) {
  const auto source = open_windows(spec_, kContext);
  const std::int64_t windows = source->windows(Split::kTrain);
  ASSERT_EQ(windows, 44);  // 800 bytes, the last 80 for validation: (720 - 1) / 16
  const WindowLoader loader(*source, kContext, kBatch, 1);
  ASSERT_EQ(windows % kBatch, 0);
  std::vector<std::vector<std::vector<std::int32_t>>> epochs(3);
  for (std::int64_t step = 0; step < 3 * windows / kBatch; ++step) {
    auto& epoch = epochs[static_cast<std::size_t>(step * kBatch / windows)];
    for (auto& row : rows(loader.train_batch(step))) epoch.push_back(std::move(row));
  }
  for (const auto& epoch : epochs) {
    EXPECT_EQ(std::set(epoch.begin(), epoch.end()).size(), static_cast<std::size_t>(windows));
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST_F(LoaderTest, ABatchMaySpanTwoEpochs) {
  const auto source = open_windows(spec_, kContext);
  const WindowLoader loader(*source, kContext, 5,
                            1);  // 44 windows: step 8 holds the last four and the first of the next epoch
  std::map<std::vector<std::int32_t>, int> count;
  for (std::int64_t step = 0; step < 44; ++step) {
    for (const auto& row : rows(loader.train_batch(step))) ++count[row];
  }
  for (const auto& [row, times] : count) EXPECT_EQ(times, 5);
  EXPECT_DOUBLE_EQ(loader.epochs(44), 5.0);
}

TEST_F(LoaderTest, OrderDependsOnTheSeedAndOnNothingElseOfTheExperiment) {
  // Two arms of a sweep and a resumed run: separately opened sources, steps asked for in another order.
  const auto first = open_windows(spec_, kContext), second = open_windows(spec_, kContext);
  const WindowLoader uninterrupted(*first, kContext, kBatch, 9);
  std::vector<HostBatch> batches;
  for (std::int64_t step = 0; step < 30; ++step) batches.push_back(uninterrupted.train_batch(step));
  const WindowLoader resumed(*second, kContext, kBatch, 9);
  for (std::int64_t step = 29; step >= 17; --step) {
    EXPECT_EQ(resumed.train_batch(step).inputs, batches[static_cast<std::size_t>(step)].inputs);
    EXPECT_EQ(resumed.train_batch(step).targets, batches[static_cast<std::size_t>(step)].targets);
  }
  EXPECT_NE(WindowLoader(*first, kContext, kBatch, 10).train_batch(0).inputs, batches[0].inputs);
}

TEST_F(LoaderTest, EndlessSourceNeverRepeatsAndDiffersBetweenSeeds) {
  const auto source = open_windows({}, kContext);
  std::set<std::vector<std::int32_t>> seen;
  std::size_t total = 0;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const WindowLoader loader(*source, kContext, kBatch, seed);
    EXPECT_EQ(loader.epochs(1000), 0);
    for (std::int64_t step = 0; step < 5; ++step) {
      const HostBatch batch = loader.train_batch(step);
      EXPECT_EQ(batch.inputs, WindowLoader(*source, kContext, kBatch, seed).train_batch(step).inputs);
      for (const auto& row : rows(batch)) {
        seen.insert(row);
        ++total;
      }
    }
  }
  // 60 sequences of 16 tokens: a chance repeat is far below one in a thousand, and the seeds are fixed.
  EXPECT_EQ(seen.size(), total);
}

TEST_F(LoaderTest, ValidationSetIsFixedAndCutToTheTokensAskedFor) {
  spec_.valid_fraction = 0.5;  // 400 bytes: 24 windows
  const auto source = open_windows(spec_, kContext);
  const WindowLoader a(*source, kContext, kBatch, 1), b(*source, kContext, kBatch, 2);
  EXPECT_EQ(a.valid_batches(1 << 20), 6);
  EXPECT_EQ(a.valid_batches(10 * kContext), 3);
  EXPECT_EQ(a.valid_batches(1), 1);  // never empty
  std::int64_t rows_seen = 0;
  for (std::int64_t i = 0; i < 3; ++i) {
    const HostBatch batch = a.valid_batch(i, 10 * kContext);
    EXPECT_EQ(batch.inputs, b.valid_batch(i, 10 * kContext).inputs);
    rows_seen += batch.rows;
  }
  EXPECT_EQ(rows_seen, 10);
  EXPECT_EQ(a.valid_batch(2, 10 * kContext).rows, 2);
}

TEST_F(LoaderTest, TrainingNeverSeesTheValidationText) {
  const auto source = open_windows(spec_, kContext);
  std::vector<std::int32_t> window(kContext + 1);
  std::set<std::vector<std::int32_t>> train;
  for (std::int64_t i = 0; i < source->windows(Split::kTrain); ++i) {
    source->read(Split::kTrain, i, window);
    train.insert(window);
  }
  for (std::int64_t i = 0; i < source->windows(Split::kValid); ++i) {
    source->read(Split::kValid, i, window);
    EXPECT_EQ(train.count(window), 0u);
  }
}

}  // namespace
}  // namespace evenkeel::data
