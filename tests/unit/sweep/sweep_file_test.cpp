#include "evenkeel/sweep/sweep_file.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/sweep/sample_plan.h"

namespace evenkeel::sweep {
namespace {

using test::sample_plan;
using test::TempFolder;

constexpr const char* kTwoRates = "[study]\ntitle = \"T\"\n[sweep]\n\"optim.lr\" = [0.1, 0.3]";

void finish(const fs::path& sweep, const Cell& cell, const std::string& label) {
  prepare_run(cell_folder(sweep, cell.hash), cell);
  runs::Result result;
  result.label = label;
  result.digest = Json::object();
  runs::write_result(cell_folder(sweep, cell.hash), result);
}

TEST(SweepFile, IsReadBackAsWritten) {
  TempFolder folder;
  const Plan plan = sample_plan(kTwoRates);
  SweepFile file = start_sweep_file(plan, folder.path(), std::nullopt);
  file.cells[0].state = CellState::kCrashed;
  file.cells[0].attempts = 2;
  file.cells[0].message = "a bug";
  file.notes = {"left out: everything else"};
  write_sweep_file(folder.path(), file);
  const auto back = read_sweep_file(folder.path());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->study.title, "T");
  EXPECT_EQ(back->axes, file.axes);
  EXPECT_EQ(back->notes, file.notes);
  ASSERT_EQ(back->cells.size(), 2u);
  EXPECT_EQ(back->cells[0].hash, plan.cells[0].hash);
  EXPECT_EQ(back->cells[0].state, CellState::kCrashed);
  EXPECT_EQ(back->cells[0].message, "a bug");
  EXPECT_EQ(back->cells[1].lr, 0.3);
  EXPECT_EQ(back->cells[1].params, 98304);
}

TEST(SweepFile, KeepsTheRoundThatAskedForACell) {
  TempFolder folder;
  Plan plan = sample_plan(kTwoRates);
  plan.cells.push_back(cell_at(plan.cells[0], 0.17, 2));
  EXPECT_NE(plan.cells[2].hash, plan.cells[0].hash);
  EXPECT_EQ(plan.cells[2].experiment.optim.lr, 0.17);
  write_sweep_file(folder.path(), start_sweep_file(plan, folder.path(), std::nullopt));
  const auto back = read_sweep_file(folder.path());
  EXPECT_EQ(back->cells[0].round, 0);
  EXPECT_EQ(back->cells[2].round, 2);
  EXPECT_EQ(back->cells[2].arm, back->cells[0].arm);
  // It is the cell that a grid with this rate would have had.
  const Plan grid = sample_plan("[sweep]\n\"optim.lr\" = [0.1, 0.17]");
  EXPECT_EQ(plan.cells[2].hash, grid.cells[1].hash);
}

TEST(SweepFile, CellsWithAResultAreDoneWhateverTheFileSaid) {
  TempFolder folder;
  const Plan plan = sample_plan(kTwoRates);
  SweepFile before = start_sweep_file(plan, folder.path(), std::nullopt);
  before.cells[0].state = before.cells[1].state = CellState::kRunning;  // as after kill -9
  before.cells[0].attempts = 1;
  finish(folder.path(), plan.cells[0], "nonfinite");
  const SweepFile now = start_sweep_file(plan, folder.path(), before);
  EXPECT_EQ(now.cells[0].state, CellState::kDone);
  EXPECT_EQ(now.cells[0].label, "nonfinite");
  EXPECT_EQ(now.cells[0].attempts, 1);
  EXPECT_EQ(now.cells[1].state, CellState::kPending);
}

TEST(SweepFile, CellsOfAnEarlierStudyAreStrangersAndStay) {
  TempFolder folder;
  const Plan old = sample_plan(kTwoRates);
  for (const Cell& cell : old.cells) finish(folder.path(), cell, "finished");
  const Plan plan = sample_plan("[sweep]\n\"optim.lr\" = [0.3, 1.0]");
  const SweepFile now = start_sweep_file(plan, folder.path(), std::nullopt);
  EXPECT_EQ(strangers(folder.path(), now), std::vector<std::string>{old.cells[0].hash});
  EXPECT_EQ(now.cells[0].state, CellState::kDone);
  EXPECT_TRUE(fs::exists(cell_folder(folder.path(), old.cells[0].hash)));
}

TEST(SweepFile, DroppedCellsAreNotWritten) {
  TempFolder folder;
  SweepFile file = start_sweep_file(sample_plan(kTwoRates), folder.path(), std::nullopt);
  file.cells[1].dropped = true;
  write_sweep_file(folder.path(), file);
  EXPECT_EQ(read_sweep_file(folder.path())->cells.size(), 1u);
}

TEST(SweepFile, DamageIsAnInputErrorThatSaysWhatToDo) {
  TempFolder folder;
  EXPECT_FALSE(read_sweep_file(folder.path()).has_value());
  for (const char* text : {"{\"format\": 1}", "{", "{\"format\": 99}", "[]",
                           "{\"format\": 1, \"study\": {}, \"axes\": {}, "
                           "\"notes\": [], \"cells\": [{\"hash\": 5}]}"}) {
    write_file(folder / "sweep.json", text);
    EXPECT_THROW(read_sweep_file(folder.path()), InputError) << text;
  }
}

TEST(SweepFile, AnUnknownStateIsNamedWithFileAndAdvice) {
  TempFolder folder;
  write_sweep_file(folder.path(), start_sweep_file(sample_plan(kTwoRates), folder.path(), std::nullopt));
  Json json = read_json(folder / "sweep.json");
  json["cells"][1]["state"] = "asleep";
  write_json(folder / "sweep.json", json);
  try {
    read_sweep_file(folder.path());
    FAIL();
  } catch (const InputError& error) {
    const std::string sentence = error.what();
    for (const char* part : {"sweep.json", "asleep", "interrupted", "remove this file"})
      EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  }
}

TEST(SweepFile, AChangedNumberIsSeen) {
  TempFolder folder;
  write_sweep_file(folder.path(), start_sweep_file(sample_plan(kTwoRates), folder.path(), std::nullopt));
  Json json = read_json(folder / "sweep.json");
  json["cells"][1]["seed"] = 12345;
  write_json(folder / "sweep.json", json);
  EXPECT_THROW(read_sweep_file(folder.path()), InputError);
  json.erase("checksum");  // as earlier versions wrote it
  write_json(folder / "sweep.json", json);
  EXPECT_EQ(read_sweep_file(folder.path())->cells[1].seed, 12345);
}

TEST(PrepareRun, RefusesAFolderWithAnotherRun) {
  TempFolder folder;
  const Plan plan = sample_plan(kTwoRates);
  prepare_run(folder / "run", plan.cells[0]);
  const std::string manifest = read_file(folder / "run/manifest.json");
  prepare_run(folder / "run", plan.cells[0]);
  EXPECT_EQ(read_file(folder / "run/manifest.json"), manifest);
  EXPECT_THROW(prepare_run(folder / "run", plan.cells[1]), InputError);
}

TEST(PrepareRun, FollowsDataThatMovedUntilTheRunHasEnded) {
  TempFolder folder;
  Cell cell = sample_plan("").cells.at(0);
  cell.experiment.data.kind = DataKind::kBytes;
  cell.experiment.data.path = "old.txt";
  cell.hash = config_hash(cell.experiment);
  prepare_run(folder / "run", cell);
  cell.experiment.data.path = "new.txt";
  ASSERT_EQ(config_hash(cell.experiment), cell.hash);
  prepare_run(folder / "run", cell);
  EXPECT_EQ(runs::read_manifest(folder / "run").experiment.data.path, fs::absolute("new.txt"));
  runs::Result result;
  result.label = "finished";
  result.digest = Json::object();
  runs::write_result(folder / "run", result);
  cell.experiment.data.path = "newer.txt";
  prepare_run(folder / "run", cell);
  EXPECT_EQ(runs::read_manifest(folder / "run").experiment.data.path, fs::absolute("new.txt"));
}

}  // namespace
}  // namespace evenkeel::sweep
