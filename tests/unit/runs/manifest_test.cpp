#include "evenkeel/runs/manifest.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/progress.h"
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

TEST(Manifest, PathsOfTheDataAreInEnvironmentOnly) {
  const test::TempFolder run;
  Manifest m = some_manifest();
  m.experiment.data.kind = DataKind::kBytes;
  m.experiment.data.path = "texts/a.txt";
  m.experiment.data.valid_path = "/texts/b.txt";
  m.config_hash = config_hash(m.experiment);
  write_manifest(run.path(), m);
  Json document = read_json(run / "manifest.json");
  EXPECT_EQ(document["environment"]["data_path"], fs::absolute("texts/a.txt").string());
  EXPECT_EQ(document["environment"]["valid_path"], "/texts/b.txt");
  document.erase("environment");
  EXPECT_EQ(document.dump().find("texts"), std::string::npos) << document.dump(2);
  const Manifest back = read_manifest(run.path());
  EXPECT_EQ(back.experiment.data.path, fs::absolute("texts/a.txt"));
  EXPECT_EQ(back.experiment.data.valid_path, "/texts/b.txt");
  EXPECT_EQ(config_hash(back.experiment), m.config_hash);
  // Written again it stays the same, and a path that is gone leaves nothing.
  const std::string before = read_file(run / "manifest.json");
  write_manifest(run.path(), back);
  EXPECT_EQ(read_file(run / "manifest.json"), before);
  m = back;
  m.experiment.data.valid_path.reset();
  write_manifest(run.path(), m);
  EXPECT_FALSE(read_manifest(run.path()).experiment.data.valid_path);
}

std::string error_of_manifest(const std::string& pointer, const Json& value) {
  const test::TempFolder run;
  write_manifest(run.path(), some_manifest());
  Json document = read_json(run / "manifest.json");
  document[Json::json_pointer(pointer)] = value;
  write_json(run / "manifest.json", document);
  try {
    read_manifest(run.path());
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Manifest, AConfigThatWasChangedByHandIsRefused) {
  EXPECT_EQ(error_of_manifest("/environment/host", "there"), "no error");
  EXPECT_EQ(error_of_manifest("/config/optim/lr", 0.1), "no error") << "the value it had";
  for (const auto& [pointer, value] : {std::pair<std::string, Json>{"/config/optim/lr", 0.2},
                                       {"/config/data/fingerprint", "auto"},
                                       {"/config_hash", "0123456789abcdef"}}) {
    const std::string error = error_of_manifest(pointer, value);
    EXPECT_NE(error.find("manifest.json was changed after the run was made"), std::string::npos) << error;
  }
}

TEST(Manifest, AVersionThatAddsASettingStillReadsRunsWithoutIt) {
  const test::TempFolder run;
  Manifest m = some_manifest();
  write_manifest(run.path(), m);
  Json document = read_json(run / "manifest.json");
  Json identity = to_json(m.experiment);
  keep_identity<Experiment>(identity);
  for (Json* config : {&document["config"], &identity}) (*config)["optim"].erase("beta2");
  document["config_hash"] = content_hash(identity.dump()).substr(0, 16);
  document.erase("checksum");  // of what this version wrote
  write_json(run / "manifest.json", document);
  EXPECT_EQ(read_manifest(run.path()).experiment.optim.beta2, OptimSpec{}.beta2);
}

TEST(Manifest, ANewerFormatSaysSoBeforeAnythingElse) {
  const std::string error = error_of_manifest("/versions/format", 2);
  EXPECT_NE(error.find("is of format 2"), std::string::npos) << error;
  EXPECT_NE(error.find("use a newer evenkeel"), std::string::npos) << error;
}

TEST(Manifest, PartsOfTheWrongTypeAreInputErrors) {
  for (const char* pointer : {"/environment", "/versions", "/config/data", "/environment/data_path"}) {
    EXPECT_NE(error_of_manifest(pointer, Json::array()).find("manifest.json"), std::string::npos) << pointer;
    EXPECT_NE(error_of_manifest(pointer, 5).find("manifest.json"), std::string::npos) << pointer;
  }
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

TEST(Manifest, FactsBesideTheConfigurationAreCoveredToo) {
  const test::TempFolder run;
  Manifest m = some_manifest();
  m.environment["host"] = "a";
  write_manifest(run.path(), m);
  const std::string whole = read_file(run / "manifest.json");
  m.environment["host"] = "b";
  write_manifest(run.path(), m);
  EXPECT_EQ(read_json(run / "manifest.json").at("checksum"), parse_json(whole, "").at("checksum"));
  EXPECT_EQ(read_manifest(run.path()).environment, m.environment);
  for (const auto& [from, to] : {std::pair{"\"arm\": \"", "\"arm\": \"x"}, {"\"h1\": 4.9", "\"h1\": 4.8"}}) {
    std::string text = whole;
    ASSERT_NE(text.find(from), std::string::npos) << text;
    write_file(run / "manifest.json", text.replace(text.find(from), std::strlen(from), to));
    EXPECT_THROW(read_manifest(run.path()), InputError) << to;
  }
  write_file(run / "manifest.json", whole);
  check_environment(run.path());
  std::string moved = whole;
  write_file(run / "manifest.json", moved.replace(moved.find("\"host\": \"a"), 10, "\"host\": \"x"));
  EXPECT_EQ(read_manifest(run.path()).environment.at("host"), "x");
  EXPECT_THROW(check_environment(run.path()), InputError);
  // As earlier versions wrote it.
  Json document = parse_json(whole, "");
  document.erase("checksum");
  document["arm"] = "renamed";
  write_json(run / "manifest.json", document);
  EXPECT_EQ(read_manifest(run.path()).arm, "renamed");
}

TEST(Result, AChangedNumberIsSeen) {
  const test::TempFolder run;
  Result r;
  r.label = "finished";
  r.final_loss = 2.5;
  r.train_loss = std::nan("");
  r.digest = Json::object();
  write_result(run.path(), r);
  EXPECT_EQ(read_result(run.path())->final_loss, 2.5);
  std::string text = read_file(run / "result.json");
  write_file(run / "result.json", text.replace(text.find("2.5"), 3, "2.4"));
  EXPECT_THROW(read_result(run.path()), InputError);
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
  r.relapsed = true;
  r.relapse_step = 12;
  write_result(run.path(), r);
  const std::string text = read_file(run / "result.json");
  EXPECT_NE(text.find("\"final_loss\": null"), std::string::npos) << text;
  EXPECT_NE(text.find("\"nonfinite\": \"final_loss=nan train_loss=inf\""), std::string::npos) << text;
  const auto back = read_result(run.path());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->label, "nonfinite");
  EXPECT_TRUE(std::isnan(back->final_loss));
  EXPECT_TRUE(std::isinf(back->train_loss));
  EXPECT_EQ(back->nonfinite_step, 17);
  EXPECT_TRUE(back->relapsed);
  EXPECT_EQ(back->relapse_step, 12);
  EXPECT_EQ(back->digest, r.digest);
}

TEST(Result, WhatIsNotKnownIsNull) {
  const test::TempFolder run;
  Result r;
  r.label = "finished";
  r.train_loss = r.l0 = std::nan("");
  write_result(run.path(), r);
  EXPECT_EQ(read_file(run / "result.json").find("\"nonfinite\""), std::string::npos);
  const auto back = read_result(run.path());
  EXPECT_TRUE(std::isnan(back->train_loss) && std::isnan(back->l0));
  EXPECT_FALSE(back->relapsed);
  EXPECT_FALSE(back->relapse_step);
}

TEST(Result, OfAnEarlierVersionIsRead) {
  const test::TempFolder run;
  write_file(
      run / "result.json",
      R"({"label": "nonfinite", "steps": 7, "seen_tokens": 1, "final_loss": "nan", "train_loss": "-inf",
                 "l0": 5.5, "nonfinite_step": 8, "digest": {}})");
  const auto result = read_result(run.path());
  EXPECT_TRUE(std::isnan(result->final_loss));
  EXPECT_EQ(result->train_loss, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(result->l0, 5.5);
  EXPECT_FALSE(result->relapsed);
}

TEST(Cell, RunInProgressTakesL0FromItsFirstRecord) {
  const test::TempFolder run;
  write_manifest(run.path(), some_manifest());
  EXPECT_TRUE(std::isnan(load_cell(run.path()).l0));
  EXPECT_FALSE(progress_of(load_cell(run.path())).loss) << "nothing was recorded";
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
