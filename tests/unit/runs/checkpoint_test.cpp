#include "evenkeel/runs/checkpoint.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointState state(std::int64_t step) const {
    CheckpointState s;
    s.step = step;
    s.cursor = step * 16;
    s.config_hash = "0123456789abcdef";
    s.seed = 7;
    s.schedule = {{"lr", 0.1 / 3}};
    s.offsets = {1000, 200, 3};
    s.detectors = {{"spike", {{"window", {0.1, 1.0 / 3}}}}};
    s.trainer = {{"l0", 5.5451774444795625}};
    return s;
  }
  fs::path write(std::int64_t step, const std::string& weights = "12345678") {
    return write_checkpoint(
        run_.path(), state(step), {{"w", TensorType::kF32, {2}, weights}},
        {{"m.w", TensorType::kF32, {2}, weights}, {"v.w", TensorType::kF32, {2}, weights}});
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const fs::path& folder : list_checkpoints(run_.path())) out.push_back(folder.filename());
    return out;
  }
  test::TempFolder run_;
  std::vector<std::string> warnings_;
};

TEST_F(CheckpointTest, RoundTrips) {
  const fs::path folder = write(300);
  EXPECT_EQ(folder, run_ / "checkpoints/step00000300");
  const auto found = find_latest_checkpoint(run_.path(), warnings_);
  ASSERT_TRUE(found);
  EXPECT_TRUE(warnings_.empty());
  const CheckpointState expected = state(300);
  EXPECT_EQ(found->state.step, 300);
  EXPECT_EQ(found->state.cursor, 4800);
  EXPECT_EQ(found->state.config_hash, expected.config_hash);
  EXPECT_EQ(found->state.seed, 7);
  EXPECT_EQ(found->state.rng_kind, "philox4x32-10");
  EXPECT_EQ(found->state.schedule, expected.schedule);
  EXPECT_EQ(found->state.offsets, expected.offsets);
  EXPECT_EQ(found->state.detectors, expected.detectors);
  EXPECT_EQ(found->state.trainer, expected.trainer);
  EXPECT_EQ(read_model(folder).tensors.at("w").data, "12345678");
  EXPECT_EQ(read_optim(folder).tensors.size(), 2u);
}

TEST_F(CheckpointTest, SameStateGivesTheSameBytes) {
  const fs::path folder = write(10);
  const std::string first = read_file(folder / "state.json");
  write(10);
  EXPECT_EQ(read_file(folder / "state.json"), first);
  EXPECT_EQ(names(), (std::vector<std::string>{"step00000010"}));
}

TEST_F(CheckpointTest, AnyDamagedByteFallsBackToAnOlderOneAndSaysSo) {
  write(100);
  const fs::path newest = write(200);
  for (const char* name : {"model.safetensors", "optim.safetensors", "state.json"}) {
    const std::string good = read_file(newest / name);
    for (const std::size_t at : {std::size_t{9}, good.size() / 2, good.size() - 3}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      write_file(newest / name, bad);
      warnings_.clear();
      const auto found = find_latest_checkpoint(run_.path(), warnings_);
      ASSERT_TRUE(found) << name << " byte " << at;
      EXPECT_EQ(found->state.step, 100);
      ASSERT_EQ(warnings_.size(), 1u);
      EXPECT_NE(warnings_[0].find("step00000200"), std::string::npos) << warnings_[0];
    }
    fs::remove(newest / name);
    EXPECT_EQ(find_latest_checkpoint(run_.path(), warnings_)->state.step, 100) << name << " missing";
    write_file(newest / name, good);
  }
  EXPECT_EQ(find_latest_checkpoint(run_.path(), warnings_)->state.step, 200);
}

TEST_F(CheckpointTest, UnfinishedWriteIsInvisibleAndPruned) {
  write(100);
  make_folder(run_ / "checkpoints/step00000200.part");
  write_file(run_ / "checkpoints/step00000200.part/model.safetensors", "torn");
  EXPECT_EQ(find_latest_checkpoint(run_.path(), warnings_)->state.step, 100);
  EXPECT_TRUE(warnings_.empty());
  prune_checkpoints(run_.path(), 1);
  EXPECT_FALSE(fs::exists(run_ / "checkpoints/step00000200.part"));
  EXPECT_EQ(names(), (std::vector<std::string>{"step00000100"}));
}

TEST_F(CheckpointTest, PruneKeepsTheNewest) {
  for (const int step : {900, 1000, 1100, 20}) write(step);
  prune_checkpoints(run_.path(), 2);
  EXPECT_EQ(names(), (std::vector<std::string>{"step00001000", "step00001100"}));
  prune_checkpoints(run_.path(), 0);
  EXPECT_EQ(names(), (std::vector<std::string>{"step00001100"}));
}

TEST_F(CheckpointTest, DiscardDropsLaterSteps) {
  for (const int step : {10, 20, 30}) write(step);
  discard_checkpoints_after(run_.path(), 20);
  EXPECT_EQ(names(), (std::vector<std::string>{"step00000010", "step00000020"}));
}

TEST_F(CheckpointTest, NoneIsNoError) {
  EXPECT_FALSE(find_latest_checkpoint(run_.path(), warnings_));
  prune_checkpoints(run_.path(), 1);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(CheckpointTest, FailedWriteKeepsTheOldOne) {
  write(100);
  // The optimiser's tensor does not fit its shape: a failure in the middle of writing.
  EXPECT_THROW(write_checkpoint(run_.path(), state(100), {{"w", TensorType::kF32, {2}, "abcdefgh"}},
                                {{"m", TensorType::kF32, {3}, "short"}}),
               std::logic_error);
  EXPECT_EQ(read_model(run_ / "checkpoints/step00000100").tensors.at("w").data, "12345678");
  EXPECT_FALSE(fs::exists(run_ / "checkpoints/step00000100.part"));
}

TEST_F(CheckpointTest, AReplacedOneComesBackWhenItsReplacementNeverCame) {
  write(100);
  const fs::path folder = run_ / "checkpoints/step00000100", old = run_ / "checkpoints/step00000100.old";
  fs::rename(folder, old);  // as a process leaves it that is killed between two names
  restore_replaced(run_.path());
  EXPECT_EQ(find_latest_checkpoint(run_.path(), warnings_)->state.step, 100);
  EXPECT_FALSE(fs::exists(old));
  fs::copy(folder, old, fs::copy_options::recursive);
  restore_replaced(run_.path());
  EXPECT_TRUE(fs::exists(old)) << "there is a newer one";
}

}  // namespace
}  // namespace evenkeel::runs
