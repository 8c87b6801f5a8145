#include "evenkeel/runs/import.h"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cmath>
#include <csignal>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/progress.h"
#include "evenkeel/runs/records.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

class ImportTest : public ::testing::Test {
 protected:
  ImportSummary import(const std::string& text, const std::string& map) {
    write_file(folder_ / "t.csv", text);
    return import_csv(folder_ / "t.csv", parse_import_map({map}), out_);
  }
  // The message of the InputError; nothing may have been written.
  std::string error_of(const std::string& text, const std::string& map) {
    try {
      import(text, map);
    } catch (const InputError& e) {
      EXPECT_FALSE(fs::exists(out_));
      return e.what();
    }
    return "no error";
  }
  void expect_error(const std::string& text, const std::string& map, const std::string& part) {
    const std::string message = error_of(text, map);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  test::TempFolder folder_;
  fs::path out_ = folder_ / "out";
};

TEST_F(ImportTest, TableOfFinalLosses) {
  const ImportSummary s = import(
      "model,lr,seed,variant,final,init,N\n"
      "d64,0.1,1,\"qk_norm=off\",2.08,6.15,98304\n"
      "d64,3e-1,1,qk_norm=off,NaN,6.15,98304\n"
      "d64, 0.1 ,2,qk_norm=off,+2.09,6.15,9.8304e4\n",
      "loss=final,lr=lr,size=model,seed=seed,arm=variant,l0=init,params=N");
  EXPECT_EQ(s.rows, 3);
  EXPECT_EQ(s.runs, 3);
  EXPECT_EQ(s.nonfinite, 1);
  const auto cells = load_cells(out_);
  ASSERT_EQ(cells.size(), 3u);
  EXPECT_EQ(cells[0].arm_hint, "qk_norm=off");
  EXPECT_EQ(cells[0].size, "d64");
  EXPECT_EQ(cells[0].params, 98304);
  EXPECT_EQ(cells[0].lr, 0.1);
  EXPECT_EQ(cells[0].seed, 1);
  EXPECT_EQ(cells[0].l0, 6.15);
  EXPECT_EQ(cells[0].result->final_loss, 2.08);
  EXPECT_EQ(cells[0].result->label, "finished");
  EXPECT_EQ(cells[0].steps, 0);
  EXPECT_TRUE(std::isnan(cells[0].h1));
  EXPECT_TRUE(cells[0].config.empty());
  EXPECT_EQ(cells[1].result->label, "nonfinite");
  EXPECT_TRUE(std::isnan(cells[1].result->final_loss));
  EXPECT_EQ(cells[1].lr, 0.3);
  EXPECT_EQ(cells[2].result->final_loss, 2.09);
  EXPECT_EQ(read_manifest(cells[1].run).imported->source, "t.csv:3");
  EXPECT_NE(cells[0].config_hash, cells[2].config_hash);
  EXPECT_EQ(progress_of(cells[1]).state, "nonfinite");
}

TEST_F(ImportTest, RowsOfStepsBecomeRecords) {
  const ImportSummary s = import(
      "name,step,val,train,lr\r\n"
      "a,0,6.0,6.1,0.1\r\n"
      "a,200,3.0,3.1,0.1\r\n"
      "b,0,6.0,6.1,0.3\r\n"
      "b,100,inf,7.0,0.3\r\n"
      "a,100,4.0,4.1,0.1\r\n",
      "run=name,step=step,loss=val,train_loss=train,lr=lr");
  EXPECT_EQ(s.rows, 5);
  EXPECT_EQ(s.runs, 2);
  const auto cells = load_cells(out_);
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].run.filename(), "a");
  EXPECT_EQ(cells[0].result->final_loss, 3.0);
  EXPECT_EQ(cells[0].result->train_loss, 3.1);
  EXPECT_EQ(cells[0].steps, 200);
  EXPECT_EQ(cells[0].l0, 6.0);
  const Series valid = scalar_series(read_records(out_ / "a" / "metrics.jsonl"), "loss/valid/ce");
  EXPECT_EQ(valid.steps, (std::vector<std::int64_t>{0, 100, 200}));
  EXPECT_EQ(valid.values, (std::vector<double>{6, 4, 3}));
  EXPECT_EQ(cells[1].result->label, "nonfinite");
  EXPECT_EQ(cells[1].result->nonfinite_step, 100);
  EXPECT_TRUE(std::isinf(cells[1].result->final_loss));
  EXPECT_EQ(read_records(out_ / "b" / "events.jsonl").at(0).at("kind"), "nonfinite");
}

TEST_F(ImportTest, ARelapseOfTheValidationLossIsToldBesideTheLabel) {
  import("name,step,val\na,0,6\na,100,2\na,200,2.2\na,300,4\na,400,5\nb,0,6\nb,100,2\nb,200,4\nb,300,1.9\n",
         "run=name,step=step,loss=val");
  const auto cells = load_cells(out_);
  EXPECT_EQ(cells[0].result->label, "finished");
  EXPECT_TRUE(cells[0].result->relapsed);
  EXPECT_EQ(cells[0].result->relapse_step, 300);
  EXPECT_EQ(read_records(out_ / "a" / "events.jsonl").at(0).at("kind"), "relapse");
  EXPECT_EQ(summary_json(cells[0], progress_of(cells[0])).at("relapsed"), true);
  EXPECT_FALSE(cells[1].result->relapsed);
  EXPECT_EQ(read_records(out_ / "b" / "events.jsonl").size(), 2u);  // and its recovery
}

TEST_F(ImportTest, OnlyATailOfNonFiniteLossesIsADivergence) {
  // a: "nan" for "not evaluated here"; b: the same, and then lost for good; c: lost at its last row.
  const ImportSummary s = import(
      "name,step,val\n"
      "a,0,nan\na,10,6.0\na,20,nan\na,30,inf\na,40,3.0\n"
      "b,0,6.0\nb,10,nan\nb,20,5.0\nb,30,nan\nb,40,nan\n"
      "c,0,6.0\nc,10,5.0\nc,20,nan\n",
      "run=name,step=step,loss=val");
  EXPECT_EQ(s.nonfinite, 2);
  EXPECT_EQ(s.isolated_nonfinite, 4);
  const auto cells = load_cells(out_);
  ASSERT_EQ(cells.size(), 3u);
  EXPECT_EQ(cells[0].result->label, "finished");
  EXPECT_FALSE(cells[0].result->nonfinite_step);
  EXPECT_EQ(cells[0].result->final_loss, 3.0);
  EXPECT_TRUE(read_records(out_ / "a" / "events.jsonl").empty());
  EXPECT_EQ(cells[1].result->nonfinite_step, 30);
  EXPECT_EQ(read_records(out_ / "b" / "events.jsonl").at(0).at("step"), 30);
  EXPECT_EQ(cells[2].result->nonfinite_step, 20);
}

TEST_F(ImportTest, H1GivesTheLabelNotLearned) {
  import("run,loss,h1\nx,3.2,3.3\ny,3.27,3.3\n", "run=run,loss=loss,h1=h1");
  const auto cells = load_cells(out_);
  EXPECT_EQ(cells[0].result->label, "finished");
  EXPECT_EQ(cells[1].result->label, "not_learned");
}

TEST_F(ImportTest, RunNamesBecomeSafeFolders) {
  import("run,loss\n../up,1\n..,2\na/b,3\na:b,4\n", "run=run,loss=loss");
  std::vector<std::string> names;
  for (const Cell& cell : load_cells(out_)) names.push_back(cell.run.filename());
  EXPECT_EQ(names, (std::vector<std::string>{"_.", "_._up", "a_b", "a_b-2"}));
}

TEST_F(ImportTest, ErrorsNameFileLineAndField) {
  expect_error("loss,lr\n2,0.1\n,0.3\n", "loss=loss,lr=lr", "t.csv:3: [loss] is empty");
  expect_error("loss,lr\n2x,0.1\n", "loss=loss,lr=lr", "t.csv:2: [loss] must be a number, got \"2x\"");
  expect_error("loss,lr\n2,-0.1\n", "loss=loss,lr=lr", "t.csv:2: [lr] must be a finite number > 0");
  expect_error("loss,lr\n2,nan\n", "loss=loss,lr=lr", "[lr] must be a finite number > 0");
  expect_error("loss,s\n2,1.5\n", "loss=loss,seed=s",
               "t.csv:2: [seed] must be a whole number >= 0, got \"1.5\"");
  expect_error("loss,s\n2,inf\n", "loss=loss,seed=s", "[seed] must be a whole number");
  expect_error("final_loss\n2\n", "loss=finl_loss", "did you mean \"final_loss\"?");
  expect_error("a,b\n2,3\n", "loss=zzzzzzzz", "it has a, b");
  expect_error("run,loss\nx,2\nx,3\n", "run=run,loss=loss", "t.csv:3: [run] is the same as in line 2");
  expect_error("lr,loss\n0.1,2\n0.1,3\n", "lr=lr,loss=loss", "t.csv:3: [run] is the same as in line 2");
  expect_error("run,step,loss\nx,1,2\nx,1,3\n", "run=run,loss=loss,step=step",
               "t.csv:3: [step] 1 appears twice");
  expect_error("run,step,loss,lr\nx,1,2,0.1\nx,2,3,0.3\n", "run=run,loss=loss,step=step,lr=lr",
               "t.csv:3: [lr] differs from line 2 of the same run \"x\"");
}

TEST_F(ImportTest, WhatTheTableDoesNotSayIsNullAndADivergedLossIsNan) {
  import("run,loss\na,2\nb,nan\n", "run=run,loss=loss");
  const auto cells = load_cells(out_);
  const Json a = summary_json(cells[0], progress_of(cells[0])),
             b = summary_json(cells[1], progress_of(cells[1]));
  EXPECT_EQ(a.at("loss"), 2.0);
  EXPECT_TRUE(std::isnan(b.at("loss").get<double>()));
  for (const char* key : {"train_loss", "l0", "lr", "params"}) EXPECT_TRUE(a.at(key).is_null()) << key;
}

TEST_F(ImportTest, SpacesAroundColumnNamesDoNotCount) {
  import("run, lr,\tloss \na, 0.1, 2\n", "run=run,lr=lr,loss=loss");
  EXPECT_EQ(load_cells(out_).at(0).lr, 0.1);
}

TEST_F(ImportTest, TextThatIsNotUtf8IsRefusedWithItsLine) {
  expect_error("run,loss\na,2\nm\xfcller,3\n", "run=run,loss=loss", "t.csv:3: not UTF-8; convert");
}

TEST_F(ImportTest, AFullDiskLeavesNothingBehind) {
  std::string text = "run,step,loss\na,1,2\n";
  for (int step = 0; step < 200; ++step) text += "b," + std::to_string(step) + ",2\n";
  write_file(folder_ / "t.csv", text);
  const ImportMap map = parse_import_map({"run=run,step=step,loss=loss"});
  // A limit on the size of files stands in for the disk: run a fits, the records of b do not.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{2000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(import_csv(folder_ / "t.csv", map, out_), EnvironmentError);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(import_csv(folder_ / "t.csv", map, out_).runs, 2);
}

TEST_F(ImportTest, FolderInUseIsRefused) {
  make_folder(out_);
  write_file(out_ / "notes.txt", "mine");
  write_file(folder_ / "t.csv", "loss\n1\n");
  EXPECT_THROW(import_csv(folder_ / "t.csv", parse_import_map({"loss=loss"}), out_), InputError);
  EXPECT_THROW(import_csv(folder_ / "absent.csv", parse_import_map({"loss=loss"}), folder_ / "o2"),
               InputError);
  EXPECT_EQ(read_file(out_ / "notes.txt"), "mine");
}

TEST(ImportMapWords, JoinedOrRepeated) {
  EXPECT_EQ(parse_import_map({"loss=a, lr=b", "seed=c d"}),
            (ImportMap{{"loss", "a"}, {"lr", "b"}, {"seed", "c d"}}));
  const auto error_of = [](const std::vector<std::string>& words) -> std::string {
    try {
      parse_import_map(words);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(error_of({"lr=b"}).find("--map loss=COLUMN"), std::string::npos);
  EXPECT_NE(error_of({"los=b"}).find("did you mean \"loss\"?"), std::string::npos);
  EXPECT_NE(error_of({"loss"}).find("got \"loss\""), std::string::npos);
  EXPECT_NE(error_of({"loss="}).find("got \"loss=\""), std::string::npos);
  EXPECT_NE(error_of({"loss=a,loss=b"}).find("twice"), std::string::npos);
}

}  // namespace
}  // namespace evenkeel::runs
