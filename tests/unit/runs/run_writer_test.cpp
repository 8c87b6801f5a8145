#include "evenkeel/runs/run_writer.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/records.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

Manifest manifest_with_lr(double lr) {
  Manifest m;
  m.experiment = experiment_from({{"optim.lr", {lr, "test"}}});
  resolve(m.experiment, {DataKind::kSynthetic, 256, "f00d"}, false);
  m.config_hash = config_hash(m.experiment);
  return m;
}

void write_steps(RunWriter& writer, int first, int last) {
  for (int step = first; step <= last; ++step) {
    writer.metrics({{"step", step}, {"loss/train/ce", 5.0 / step}});
    if (step % 10 == 0) writer.heads({{"step", step}, {"block/layer00/out_rms", 1.5}});
    if (step == 15) writer.event({{"step", step}, {"kind", "spike"}});
    writer.timing({{"step", step}, {"wall_s", 0.1 * step}});
  }
}

Result some_result() {
  Result r;
  r.label = "finished";
  r.steps = 40;
  return r;
}

CheckpointState checkpoint_state(const Manifest& m, const RunWriter& writer, int step) {
  CheckpointState s;
  s.step = step;
  s.config_hash = m.config_hash;
  s.offsets = writer.offsets();
  return s;
}

TEST(RunWriter, ResumedRunHasTheBytesOfAnUninterruptedOne) {
  const test::TempFolder folder;
  const Manifest m = manifest_with_lr(0.1);
  const fs::path whole = folder / "whole", broken = folder / "broken";
  {
    const RunLock lock(whole);
    RunWriter writer = RunWriter::start(lock, m);
    write_steps(writer, 1, 40);
    writer.finish(some_result());
  }
  CheckpointState at_17;
  {
    const RunLock lock(broken);
    RunWriter writer = RunWriter::start(lock, m);
    write_steps(writer, 1, 17);
    writer.sync();
    at_17 = checkpoint_state(m, writer, 17);
    write_steps(writer, 18, 23);  // written, but lost with the process before the next checkpoint
  }
  write_file(broken / "metrics.jsonl",
             read_file(broken / "metrics.jsonl") + "{\"step\":24,\"lo");  // torn tail
  EXPECT_EQ(standing(broken, m.config_hash), Standing::kInProgress);
  {
    const RunLock lock(broken);
    RunWriter writer = RunWriter::resume(lock, at_17);
    EXPECT_EQ(writer.offsets(), at_17.offsets);
    write_steps(writer, 18, 40);
    writer.finish(some_result());
  }
  for (const char* file : {"manifest.json", "metrics.jsonl", "heads.jsonl", "events.jsonl", "result.json"}) {
    EXPECT_EQ(read_file(whole / file), read_file(broken / file)) << file;
  }
  // Timing keeps the records of both sessions: 23 steps, then 23 more.
  EXPECT_EQ(read_records(broken / "timing.jsonl").size(), 46u);
  EXPECT_EQ(standing(broken, m.config_hash), Standing::kFinished);
}

TEST(RunWriter, FinishWritesTheDigest) {
  const test::TempFolder folder;
  const RunLock lock(folder / "run");
  RunWriter writer = RunWriter::start(lock, manifest_with_lr(0.1));
  write_steps(writer, 1, 20);
  writer.finish(some_result());
  const auto result = read_result(lock.run());
  ASSERT_TRUE(result);
  for (const char* file : {"metrics.jsonl", "heads.jsonl", "events.jsonl"}) {
    EXPECT_EQ(result->digest.at(file), file_hash(lock.run() / file));
  }
  EXPECT_EQ(result->digest.size(), 3u);
}

TEST(RunWriter, AnotherConfigurationIsRefusedAndNothingIsTouched) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  const RunLock lock(run);
  EXPECT_EQ(standing(run, manifest_with_lr(0.1).config_hash), Standing::kAbsent);
  { RunWriter::start(lock, manifest_with_lr(0.1)).metrics({{"step", 0}}); }
  const std::string before = read_file(run / "metrics.jsonl");
  EXPECT_THROW(RunWriter::start(lock, manifest_with_lr(0.3)), InputError);
  EXPECT_THROW(standing(run, manifest_with_lr(0.3).config_hash), InputError);
  EXPECT_EQ(read_file(run / "metrics.jsonl"), before);
}

TEST(RunWriter, FinishedRunIsNotStartedAgain) {
  const test::TempFolder folder;
  const RunLock lock(folder / "run");
  RunWriter::start(lock, manifest_with_lr(0.1)).finish(some_result());
  EXPECT_THROW(RunWriter::start(lock, manifest_with_lr(0.1)), InputError);
}

TEST(RunWriter, ResumeRefusesLineFilesShorterOrDamagedBeforeTheOffset) {
  const test::TempFolder folder;
  const RunLock lock(folder / "run");
  const Manifest m = manifest_with_lr(0.1);
  CheckpointState state;
  {
    RunWriter writer = RunWriter::start(lock, m);
    write_steps(writer, 1, 5);
    state = checkpoint_state(m, writer, 5);
  }
  const fs::path file = lock.run() / "metrics.jsonl";
  const std::string good = read_file(file);
  write_file(file, good.substr(0, good.size() - 10));
  EXPECT_THROW(RunWriter::resume(lock, state), InputError);
  std::string flipped = good;
  flipped[12] = static_cast<char>(flipped[12] ^ 1);
  write_file(file, flipped);
  EXPECT_THROW(RunWriter::resume(lock, state), InputError);
  EXPECT_EQ(read_file(file), flipped);  // not cut
}

TEST(RunWriter, GoesOnBeforeTheDamageOfALineFile) {
  const test::TempFolder folder;
  const RunLock lock(folder / "run");
  const Manifest m = manifest_with_lr(0.1);
  std::vector<LineOffsets> offsets;
  {
    RunWriter writer = RunWriter::start(lock, m);
    for (const int step : {10, 20, 30}) {
      write_steps(writer, step - 9, step);
      writer.sync();
      write_checkpoint(lock.run(), checkpoint_state(m, writer, step), {}, {});
      offsets.push_back(writer.offsets());
    }
  }
  const auto resumable = [&](std::size_t damaged_byte) {
    std::string text = read_file(lock.run() / "metrics.jsonl");
    text[damaged_byte] = static_cast<char>(text[damaged_byte] ^ 4);
    write_file(lock.run() / "metrics.jsonl", text);
    std::vector<std::string> warnings;
    const auto found = find_resumable(lock, warnings);
    EXPECT_EQ(warnings.size() + static_cast<std::size_t>(found->state.step) / 10, 3u);
    return found->state.step;
  };
  std::vector<std::string> none;
  EXPECT_EQ(find_resumable(lock, none)->state.step, 30);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(resumable(offsets[1].metrics + 3), 20);
  EXPECT_EQ(resumable(offsets[0].metrics + 3), 10);
  EXPECT_THROW(resumable(3), InputError) << "to start anew would lose what is there";
}

TEST(RunLock, SecondWriterIsRefusedUntilTheFirstEnds) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  EXPECT_FALSE(is_being_written(run));
  {
    const RunLock lock(run);
    EXPECT_TRUE(is_being_written(run));
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const RunLock second(run);
      } catch (const EnvironmentError&) {
        ::_exit(5);
      }
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 5);
  }
  EXPECT_FALSE(is_being_written(run));
  const RunLock again(run);
}

TEST(Label, FollowsTheDefinitions) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(label_of(std::nullopt, 3.0, 4.0), "finished");
  EXPECT_EQ(label_of(std::nullopt, 3.96, 4.0), "not_learned");
  EXPECT_EQ(label_of(std::nullopt, 4.0 - kNotLearnedMargin, 4.0), "not_learned");
  EXPECT_EQ(label_of(std::nullopt, 9.0, 4.0), "not_learned");
  EXPECT_EQ(label_of(12, 3.0, 4.0), "nonfinite");
  EXPECT_EQ(label_of(std::nullopt, nan, 4.0), "nonfinite");
  EXPECT_EQ(label_of(std::nullopt, std::numeric_limits<double>::infinity(), 4.0), "nonfinite");
  EXPECT_EQ(label_of(std::nullopt, 9.0, nan), "finished");
}

}  // namespace
}  // namespace evenkeel::runs
