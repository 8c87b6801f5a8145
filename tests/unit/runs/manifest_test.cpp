#include "evenkeel/runs/manifest.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/records.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

Experiment resolved_experiment() {
  Settings settings;
  settings["optim.lr"] = {0.1, "test"};
  settings["interventions.qk_norm"] = {"per_head", "test"};
  settings["train.seed"] = {7, "test"};
  Experiment e = experiment_from(settings);
  resolve(e, {DataKind::kSynthetic, 256, "f00d"}, false);
  return e;
}

Manifest some_manifest() {
  Manifest m;
  m.experiment = resolved_experiment();
  m.config_hash = config_hash(m.experiment);
  m.data.name = "synthetic";
  m.data.h1 = 4.9;
  m.versions = {{"evenkeel", "0.1.0"}, {"format", 1}};
  m.environment = {{"host", "here"}};
  return m;
}

TEST(Manifest, RebuildsTheExperiment) {
  const test::TempFolder run;
  const Manifest m = some_manifest();
  write_manifest(run.path(), m);
  const Manifest back = read_manifest(run.path());
  EXPECT_EQ(to_json(back.experiment), to_json(m.experiment));
  EXPECT_EQ(config_hash(back.experiment), m.config_hash);
  EXPECT_EQ(back.data.h1, 4.9);
  EXPECT_TRUE(std::isnan(back.data.floor));
  EXPECT_EQ(back.versions, m.versions);
  EXPECT_FALSE(back.imported);
}

TEST(Manifest, ImportedRunHasNoConfig) {
  const test::TempFolder run;
  Manifest m;
  m.imported = Imported{"log.csv:2", "qk_norm=off", "d64", 98304, 0.1, 1};
  write_manifest(run.path(), m);
  const Manifest back = read_manifest(run.path());
  ASSERT_TRUE(back.imported);
  EXPECT_EQ(back.imported->arm, "qk_norm=off");
  EXPECT_EQ(back.imported->params, 98304);
  const Cell cell = load_cell(run.path());
  EXPECT_EQ(cell.size, "d64");
  EXPECT_EQ(cell.lr, 0.1);
  EXPECT_TRUE(cell.config.empty());
}

TEST(Manifest, DamageIsAnInputErrorThatNamesTheFile) {
  const test::TempFolder run;
  EXPECT_THROW(read_manifest(run.path()), InputError);
  for (const char* text : {"", "{", "[]", "{}", "{\"config_hash\": 3}"}) {
    write_file(run / "manifest.json", text);
    try {
      read_manifest(run.path());
      FAIL() << text;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("manifest.json"), std::string::npos) << e.what();
    }
  }
}

TEST(Result, RoundTripsNonFiniteLosses) {
  const test::TempFolder run;
  EXPECT_FALSE(read_result(run.path()));
  Result r;
  r.label = "nonfinite";
  r.steps = 17;
  r.seen_tokens = 34816;
  r.final_loss = std::nan("");
  r.train_loss = std::numeric_limits<double>::infinity();
  r.l0 = 5.6;
  r.nonfinite_step = 17;
  r.digest = {{"metrics.jsonl", "00"}};
  write_result(run.path(), r);
  EXPECT_NE(read_file(run / "result.json").find("\"final_loss\": \"nan\""), std::string::npos);
  const auto back = read_result(run.path());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->label, "nonfinite");
  EXPECT_TRUE(std::isnan(back->final_loss));
  EXPECT_TRUE(std::isinf(back->train_loss));
  EXPECT_EQ(back->nonfinite_step, 17);
  EXPECT_EQ(back->digest, r.digest);
}

TEST(Cell, RunInProgressTakesL0FromItsFirstRecord) {
  const test::TempFolder run;
  write_manifest(run.path(), some_manifest());
  EXPECT_TRUE(std::isnan(load_cell(run.path()).l0));
  write_file(run / "metrics.jsonl", encode_record({{"step", 0}, {"loss/valid/ce", 5.5}}) + "\n");
  const Cell cell = load_cells(run.path()).at(0);
  EXPECT_EQ(cell.l0, 5.5);
  EXPECT_FALSE(cell.result);
  EXPECT_EQ(cell.size, "d64");
  EXPECT_EQ(cell.params, 12 * 2 * 64 * 64);
  EXPECT_EQ(cell.lr, 0.1);
  EXPECT_EQ(cell.seed, 7);
  EXPECT_EQ(cell.h1, 4.9);
  EXPECT_EQ(cell.config.at("interventions").at("qk_norm"), "per_head");
}

}  // namespace
}  // namespace evenkeel::runs
