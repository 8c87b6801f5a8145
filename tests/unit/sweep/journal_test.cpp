#include "evenkeel/sweep/journal.h"

#include <gtest/gtest.h>

#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::sweep {
namespace {

CellEntry cell(const char* hash, CellState state = CellState::kPending, std::int64_t attempts = 0) {
  CellEntry entry;
  entry.hash = hash;
  entry.arm = "qk_norm=off";
  entry.size = "d64";
  entry.lr = 0.03;
  entry.state = state;
  entry.attempts = attempts;
  return entry;
}

TEST(Journal, BringsAFileUpToDate) {
  const test::TempFolder folder;
  SweepFile file;
  file.cells = {cell("00000000000000aa"), cell("00000000000000bb"), cell("00000000000000cc")};
  write_sweep_file(folder.path(), file);
  Journal one(folder.path(), "one"), two(folder.path(), "two");
  one.add(cell("00000000000000aa", CellState::kRunning, 1));
  CellEntry done = cell("00000000000000aa", CellState::kDone, 1);
  done.label = "nonfinite";
  one.add(done);
  CellEntry crashed = cell("00000000000000bb", CellState::kCrashed, 2);
  crashed.message = "it fell over";
  two.add(crashed);
  two.add(cell("00000000000000ff", CellState::kDone, 1));  // of another study

  const auto read = read_sweep_file(folder.path());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cells.size(), 3u);
  EXPECT_EQ(read->cells[0].state, CellState::kDone);
  EXPECT_EQ(read->cells[0].label, "nonfinite");
  EXPECT_EQ(read->cells[0].attempts, 1);
  EXPECT_EQ(read->cells[1].state, CellState::kCrashed);
  EXPECT_EQ(read->cells[1].attempts, 2);
  EXPECT_EQ(read->cells[1].message, "it fell over");
  EXPECT_EQ(read->cells[2].state, CellState::kPending);

  one.clear();
  EXPECT_EQ(read_sweep_file(folder.path())->cells[0].state, CellState::kPending);
  EXPECT_EQ(read_sweep_file(folder.path())->cells[1].attempts, 2);
  remove_journals(folder.path());
  EXPECT_FALSE(fs::exists(folder.path() / "journal"));
}

TEST(Journal, AnEventTakesAtMostTwoHundredBytes) {
  const test::TempFolder folder;
  Journal journal(folder.path(), "one");
  CellEntry done = cell("00000000000000aa", CellState::kInterrupted, 1000);
  done.label = "not_learned";
  journal.add(done);
  EXPECT_LE(fs::file_size(folder.path() / "journal" / "one.jsonl"), 200u);
}

TEST(Journal, ATornOrDamagedLineIsPassedOver) {
  const test::TempFolder folder;
  SweepFile file;
  file.cells = {cell("00000000000000aa"), cell("00000000000000bb")};
  write_sweep_file(folder.path(), file);
  Journal journal(folder.path(), "one");
  journal.add(cell("00000000000000aa", CellState::kRunning, 1));
  journal.add(cell("00000000000000bb", CellState::kRunning, 1));
  const fs::path path = folder.path() / "journal" / "one.jsonl";
  std::string content = read_file(path);
  content[20] = static_cast<char>(content[20] ^ 1);
  write_file(path, content.substr(0, content.size() - 3));
  const auto read = read_sweep_file(folder.path());
  EXPECT_EQ(read->cells[0].attempts, 0);
  EXPECT_EQ(read->cells[1].attempts, 0);
}

}  // namespace
}  // namespace evenkeel::sweep
