// The scheduler against a shell script in the trainer's place.
#include "evenkeel/sweep/scheduler.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/sweep/sample_plan.h"

namespace evenkeel::sweep {
namespace {

constexpr const char* kFinish = R"sh(
[ "$1" = run ] || exit 2
finish() {
  echo '{"label":"finished","steps":300,"seen_tokens":1,"final_loss":2,"train_loss":2,"l0":5,"digest":{}}' > "$2/result.part"
  mv "$2/result.part" "$2/result.json"
  exit 0
}
echo started >> "$2/attempts"
case "$(cat "$2/manifest.json")" in *'"lr": 0.1,'*) lr=0.1;; *'"lr": 0.3,'*) lr=0.3;; *) lr=1;; esac
)sh";

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() : plan_(test::sample_plan("[sweep]\n\"optim.lr\" = [0.1, 0.3, 1.0]")) {
    file_ = start_sweep_file(plan_, folder_.path(), std::nullopt);
  }

  // `behaviour` sees $lr and $2 (the run folder) and may call finish.
  int run(
      const std::string& behaviour, const Scheduler::Observer& observe = [](Scheduler&) {}, int jobs = 2) {
    const fs::path trainer = folder_ / "trainer.sh";
    write_file(trainer, std::string("#!/bin/sh\n") + kFinish + behaviour + "\n");
    fs::permissions(trainer, fs::perms::owner_all);
    Scheduler scheduler(plan_, file_, {folder_.path(), trainer, jobs, 1, 0.05});
    const int code = scheduler.run(observe);
    message_ = scheduler.refusal();
    return code;
  }

  int attempts(std::size_t cell) const {
    std::ifstream in(cell_folder(folder_.path(), plan_.cells[cell].hash) / "attempts");
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    return lines;
  }
  CellState state(std::size_t cell) const { return file_.cells[cell].state; }

  test::TempFolder folder_;
  Plan plan_;
  SweepFile file_;
  std::string message_;
};

TEST_F(SchedulerTest, RunsEveryCellOnceAndWritesWhatHappened) {
  EXPECT_EQ(run("finish \"$@\""), kExitFinished);
  const auto written = read_sweep_file(folder_.path());
  ASSERT_TRUE(written);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(written->cells[i].state, CellState::kDone);
    EXPECT_EQ(written->cells[i].label, "finished");
    EXPECT_EQ(attempts(i), 1);
    EXPECT_FALSE(fs::exists(cell_folder(folder_.path(), plan_.cells[i].hash) / "log.txt"));
  }
  file_ = start_sweep_file(plan_, folder_.path(), written);
  EXPECT_EQ(run("exit 4"), kExitFinished);
  EXPECT_EQ(attempts(0), 1);
}

TEST_F(SchedulerTest, NeverRunsMoreThanJobsAtATime) {
  std::size_t most = 0;
  run(
      "sleep 0.1; finish \"$@\"", [&](Scheduler& now) { most = std::max(most, now.running().size()); }, 2);
  EXPECT_EQ(most, 2u);
}

TEST_F(SchedulerTest, ACrashIsRetriedAndStopsNothingElse) {
  EXPECT_EQ(run("[ $lr = 0.3 ] && echo 'a bug' >&2 && exit 4; finish \"$@\""), kExitCellsCrashed);
  EXPECT_EQ(state(0), CellState::kDone);
  EXPECT_EQ(state(1), CellState::kCrashed);
  EXPECT_EQ(state(2), CellState::kDone);
  EXPECT_EQ(attempts(1), 2);
  EXPECT_EQ(file_.cells[1].attempts, 2);
  EXPECT_EQ(file_.cells[1].message, "a bug");
}

TEST_F(SchedulerTest, ARetryThatWorksLeavesNoTrace) {
  EXPECT_EQ(run("[ $lr = 0.3 ] && [ $(wc -l < \"$2/attempts\") = 1 ] && kill -9 $$; finish \"$@\""),
            kExitFinished);
  EXPECT_EQ(attempts(1), 2);
  EXPECT_EQ(file_.cells[1].message, "");
}

TEST_F(SchedulerTest, ANonFiniteRunIsAResult) {
  EXPECT_EQ(run("sed s/finished/nonfinite/ > /dev/null < /dev/null; "
                "echo "
                "'{\"label\":\"nonfinite\",\"steps\":7,\"seen_tokens\":1,\"final_loss\":null,"
                "\"train_loss\":null,\"nonfinite\":\"final_loss=nan\",\"l0\":5,\"digest\":{}}' > "
                "\"$2/result.json\"; exit 3"),
            kExitFinished);
  EXPECT_EQ(state(0), CellState::kDone);
  EXPECT_EQ(file_.cells[0].label, "nonfinite");
  EXPECT_EQ(attempts(0), 1);
}

TEST_F(SchedulerTest, SuccessWithoutAResultIsACrash) {
  EXPECT_EQ(run("exit 0"), kExitCellsCrashed);
  EXPECT_NE(file_.cells[0].message.find("no result.json"), std::string::npos);
}

TEST_F(SchedulerTest, WrongInputIsNotRetried) {
  EXPECT_EQ(run("[ $lr = 0.3 ] && exit 2; finish \"$@\""), kExitCellsCrashed);
  EXPECT_EQ(attempts(1), 1);
  EXPECT_EQ(state(2), CellState::kDone);
}

TEST_F(SchedulerTest, InputThatTheFirstTrainerRefusesEndsTheSweep) {
  const std::string refuse = "echo 'no such device' >&2; exit 2";
  EXPECT_EQ(run(
                refuse, [](Scheduler&) {}, 1),
            kExitBadInput);
  EXPECT_EQ(message_, "no such device");
  EXPECT_EQ(attempts(1), 0);
  file_ = start_sweep_file(plan_, folder_.path(), read_sweep_file(folder_.path()));
  EXPECT_EQ(run("finish \"$@\""), kExitFinished);
}

TEST_F(SchedulerTest, ADamagedManifestCostsItsOwnCellOnly) {
  const fs::path cell = cell_folder(folder_.path(), plan_.cells[1].hash);
  make_folder(cell);
  write_file(cell / "manifest.json", "{");
  EXPECT_EQ(run(
                "finish \"$@\"", [](Scheduler&) {}, 1),
            kExitCellsCrashed);
  EXPECT_EQ(state(0), CellState::kDone);
  EXPECT_EQ(state(1), CellState::kCrashed);
  EXPECT_EQ(state(2), CellState::kDone);
  EXPECT_NE(file_.cells[1].message.find("manifest.json"), std::string::npos);
}

TEST_F(SchedulerTest, ADiskTooFullForASentenceIsStillNamed) {
  EXPECT_EQ(run(
                "exit 5", [](Scheduler&) {}, 1),
            kExitEnvironment);
  EXPECT_NE(message_.find("disk"), std::string::npos) << message_;
  EXPECT_NE(message_.find(cell_folder(folder_.path(), plan_.cells[0].hash).string()), std::string::npos);
}

TEST_F(SchedulerTest, AnEnvironmentErrorStartsNothingNew) {
  EXPECT_EQ(run(
                "[ $lr = 0.1 ] && echo 'disk full' >&2 && exit 5; finish \"$@\"", [](Scheduler&) {}, 1),
            kExitEnvironment);
  EXPECT_EQ(message_, "disk full");
  EXPECT_EQ(attempts(0), 1);
  EXPECT_EQ(attempts(1), 0);
  EXPECT_EQ(state(1), CellState::kPending);
}

TEST_F(SchedulerTest, ATrainerThatCannotBeExecutedIsAnEnvironmentError) {
  Scheduler scheduler(plan_, file_, {folder_.path(), folder_ / "absent", 1, 1, 0.05});
  EXPECT_EQ(scheduler.run([](Scheduler&) {}), kExitEnvironment);
  EXPECT_NE(scheduler.refusal().find("absent"), std::string::npos);
}

TEST_F(SchedulerTest, SigtermAsksTheTrainersToStopAndTheNextRunGoesOn) {
  bool sent = false;
  const auto stop = [&](Scheduler& now) {
    if (sent || now.running().empty()) return;
    if (!fs::exists(cell_folder(folder_.path(), plan_.cells[0].hash) / "ready")) return;
    sent = true;
    ::kill(::getpid(), SIGTERM);
  };
  EXPECT_EQ(
      run("trap 'echo saved > \"$2/saved\"; exit 75' TERM; : > \"$2/ready\"; while :; do sleep 0.02; done",
          stop, 1),
      kExitInterrupted);
  EXPECT_EQ(state(0), CellState::kInterrupted);
  EXPECT_EQ(state(1), CellState::kPending);
  EXPECT_TRUE(fs::exists(cell_folder(folder_.path(), plan_.cells[0].hash) / "saved"));
  file_ = start_sweep_file(plan_, folder_.path(), read_sweep_file(folder_.path()));
  EXPECT_EQ(run("finish \"$@\""), kExitFinished);
  EXPECT_EQ(file_.cells[0].attempts, 2);
}

TEST_F(SchedulerTest, ASweepIsStoppedAlsoWhileItsTrainerServerLoads) {
  write_file(folder_ / "server.sh", "#!/bin/sh\nsleep 100\n");
  fs::permissions(folder_ / "server.sh", fs::perms::owner_all);
  Scheduler scheduler(plan_, file_, {folder_.path(), folder_ / "server.sh", 1, 1, 0.05});
  int ticks = 0;
  EXPECT_EQ(scheduler.run([&](Scheduler& now) {
    EXPECT_TRUE(now.running().empty());
    if (++ticks == 3) ::kill(::getpid(), SIGTERM);
  }),
            kExitInterrupted);
  EXPECT_EQ(scheduler.count(CellState::kPending), 3u);
}

TEST_F(SchedulerTest, DroppedCellsDoNotRun) {
  const auto drop_last = [](Scheduler& now) { now.drop(2); };
  EXPECT_EQ(run("finish \"$@\"", drop_last, 1), kExitFinished);
  EXPECT_EQ(attempts(2), 0);
  EXPECT_EQ(read_sweep_file(folder_.path())->cells.size(), 2u);
}

TEST_F(SchedulerTest, ReadsProgressFromTiming) {
  std::int64_t seen = 0;
  double rate = 0;
  run("echo '{\"step\":150,\"wall_s\":1,\"tokens_per_s\":5000.0,\"crc\":\"00000000\"}' >> "
      "\"$2/timing.jsonl\"; sleep 0.3; "
      "finish \"$@\"",
      [&](Scheduler& now) {
        for (const Running& child : now.running()) {
          seen = std::max(seen, child.step);
          rate = std::max(rate, child.tokens_per_s);
          EXPECT_LE(now.left_flops(), 3 * train_flops(plan_.cells[0].experiment));
        }
      });
  EXPECT_EQ(seen, 150);
  EXPECT_EQ(rate, 5000.0);
}

TEST(HasEnded, SaysSoOfAProcessThatIsNoChild) {
  ExitStatus status;
  EXPECT_TRUE(has_ended(::getppid(), status));
  EXPECT_FALSE(status.known);
}

TEST(LastLine, IsTheLastThatSaysSomething) {
  test::TempFolder folder;
  EXPECT_EQ(last_line(folder / "log", 0), "");
  write_file(folder / "log", "first\nsecond\n \n");
  EXPECT_EQ(last_line(folder / "log", 0), "second");
  EXPECT_EQ(last_line(folder / "log", 13), "");
}

}  // namespace
}  // namespace evenkeel::sweep
