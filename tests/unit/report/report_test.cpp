#include "evenkeel/report/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/report/page.h"
#include "evenkeel/report/probe_answers.h"
#include "evenkeel/runs/cell.h"
#include "tests/support/fixture_sweep.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::report {
namespace {

Json document_of(const test::FixtureOptions& options) {
  const test::TempFolder folder;
  test::FixtureSweep(folder.path(), options).write();
  return report_document({folder.path()});
}

TEST(Report, GathersCellsSeriesAndAnalysis) {
  const Json d = document_of({});
  ASSERT_EQ(d["cells"].size(), 16u);
  EXPECT_EQ(d["analysis"]["curves"].size(), 2u);
  EXPECT_EQ(d["analysis"]["baseline"], "qk_norm=off");
  EXPECT_EQ(d["facts"]["h1"], 4.9);
  std::size_t lost = 0;
  for (const Json& cell : d["cells"]) {
    EXPECT_GE(cell["train"]["recorded"].get<int>(), 120);
    ASSERT_EQ(cell["attention"].size(), 1u);
    EXPECT_EQ(cell["attention"][0]["end_entropy"].size(), 2u);     // layers of d64
    EXPECT_EQ(cell["attention"][0]["end_entropy"][0].size(), 4u);  // heads
    EXPECT_EQ(cell["logit_peak"], cell["attention"][0]["logit_peak"]);
    if (cell["label"] != "nonfinite") continue;
    ++lost;
    EXPECT_TRUE(std::isnan(cell["loss"].get<double>()));
    EXPECT_TRUE(std::isnan(cell["train"]["values"].back().get<double>()));
    EXPECT_EQ(cell["nonfinite_step"], cell["train"]["steps"].back());
  }
  EXPECT_EQ(lost, 2u);
}

TEST(Report, TokensOfAStepAreThoseOfTheFamily) {
  const Experiment e;
  EXPECT_EQ(document_of({})["facts"]["tokens_per_step"], e.train.batch * e.arch.context);
  EXPECT_EQ(document_of({.pairs = true})["facts"]["tokens_per_step"], e.data.batch_tokens);
}

TEST(Report, TellsWhatVariedFromWhatDidNot) {
  const Json d = document_of({});
  std::vector<std::string> varied;
  for (const Json& s : d["config"]["varied"]) varied.push_back(s["path"]);
  EXPECT_EQ(varied, (std::vector<std::string>{"interventions.qk_norm", "optim.lr", "train.seed"}));
}

TEST(Report, APlainFolderOfRunsGetsTheSameArms) {
  test::FixtureOptions plain;
  plain.sweep_file = false;
  const Json a = document_of({}), b = document_of(plain);
  EXPECT_EQ(a["analysis"]["arms"], b["analysis"]["arms"]);
  EXPECT_EQ(json_text(a["analysis"]["curves"]), json_text(b["analysis"]["curves"]));  // NaN is not NaN
}

TEST(Report, ListingsNameArmsAsTheAnalysisDoes) {
  const test::TempFolder folder;
  test::FixtureOptions plain;
  plain.sweep_file = false;
  test::FixtureSweep(folder.path(), plain).write();
  std::set<std::string> listed;
  for (const auto& arm : runs::arms_of(runs::load_cells(folder.path()))) listed.insert(arm);
  EXPECT_EQ(listed, (std::set<std::string>{"qk_norm=off", "qk_norm=per_head"}));
  EXPECT_EQ(Json(listed), report_document({folder.path()})["analysis"]["arms"]);
  EXPECT_EQ(runs::arms_of({runs::load_cells(folder.path()).front()}), std::vector<std::string>{"baseline"});
}

TEST(Report, SeveralFoldersAreOneSweep) {
  const test::TempFolder whole, first, second;
  const auto write = [](const fs::path& folder, std::vector<std::int64_t> seeds, bool leave_out = false) {
    test::FixtureOptions options;
    options.seeds = std::move(seeds);
    options.leave_one_out = leave_out;
    test::FixtureSweep(folder, options).write();
  };
  write(whole.path(), {1, 2, 3}, true);
  write(first.path(), {1, 2});
  write(second.path(), {2, 3}, true);
  const Json one = report_document({whole.path()}), joined = report_document({first.path(), second.path()});
  EXPECT_EQ(joined["analysis"]["arms"], one["analysis"]["arms"]);
  EXPECT_EQ(joined["analysis"]["baseline"], one["analysis"]["baseline"]);
  EXPECT_EQ(json_text(joined["analysis"]["curves"]), json_text(one["analysis"]["curves"]))
      << "with the cell that has not begun, which has its siblings' arm";
  EXPECT_EQ(joined["cells"].size(), 24u);
  EXPECT_EQ(joined["notes"].at(0), "8 cells are in more than one of the folders and count once");
  // Which of two copies of a run has ended decides, not which comes first.
  const Json turned = report_document({second.path(), first.path(), whole.path()});
  EXPECT_EQ(json_text(turned["analysis"]["curves"]), json_text(one["analysis"]["curves"]));
  const test::TempFolder begun;
  write(begun.path(), {1, 2, 3});
  const Json full = report_document({begun.path()});
  for (const auto& order : {std::vector{whole.path(), begun.path()}, std::vector{begun.path(), whole.path()}})
    EXPECT_EQ(json_text(report_document(order)["analysis"]["curves"]), json_text(full["analysis"]["curves"]));
  EXPECT_EQ(joined["title"], one["title"].get<std::string>() + "; " + one["title"].get<std::string>());
}

TEST(Report, OfManyCellsSomeHaveCurvesAndAllCount) {
  const test::TempFolder folder;
  test::FixtureOptions many;
  many.seeds.clear();
  for (int seed = 0; seed < 60; ++seed) many.seeds.push_back(seed);  // 480 cells
  test::FixtureSweep(folder.path(), many).write();
  const Json d = report_document({folder.path()});
  int curves = 0;
  std::map<std::string, int> per_group;
  for (const Json& cell : d["cells"]) {
    EXPECT_TRUE(cell.contains("logit_peak"));
    if (!cell.contains("train")) continue;
    ++curves;
    ++per_group[cell["arm"].get<std::string>() + cell["lr"].dump()];
  }
  EXPECT_EQ(d["cells"].size(), 480u);
  EXPECT_EQ(curves, 400);
  for (const auto& [group, cells] : per_group) EXPECT_EQ(cells, 50) << group;
  EXPECT_EQ(d["analysis"]["curves"][0]["means"][0]["cells"], 60);
  EXPECT_NE(d["notes"].dump().find("400 of the 480 cells"), std::string::npos);
}

TEST(Report, RunsThatShareANameAndNothingElseAreTwoArms) {
  std::vector<runs::Cell> cells(3);
  for (auto& cell : cells) {
    cell.config = to_json(Experiment{});
    cell.arm_hint = "baseline";
  }
  cells[1].config["optim"]["algorithm"] = "lars";
  cells[2].arm_hint = "qk_norm=per_head";
  EXPECT_EQ(runs::arms_of(cells),
            (std::vector<std::string>{"algorithm=adamw", "algorithm=lars", "qk_norm=per_head"}));
}

TEST(Report, ADamagedSweepFileIsAnInputErrorThatSaysWhatToDo) {
  const test::TempFolder folder;
  test::FixtureSweep(folder.path(), {}).write();
  const fs::path file = folder.path() / "sweep.json";
  const Json whole = read_json(file);
  const auto error_with = [&](const char* key, const Json& value) -> std::string {
    Json damaged = whole;
    damaged[key] = value;
    write_json(file, damaged);
    try {
      report_document({folder.path()});
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(error_with("study", {{"title", 5}}).find("[title] must be a string, got 5"), std::string::npos);
  EXPECT_NE(error_with("study", 5).find("sweep.json"), std::string::npos);
  EXPECT_NE(error_with("cells", {{{"hash", 5}}}).find("remove this file"), std::string::npos);
}

TEST(Report, MissingCellsShowAsMissing) {
  test::FixtureOptions options;
  options.leave_one_out = true;
  const Json d = document_of(options);
  EXPECT_EQ(d["cells"].back()["label"], "missing");
  EXPECT_TRUE(d["cells"].back()["loss"].is_null());
  const Json& curve = d["analysis"]["curves"][1];
  EXPECT_EQ(curve["missing_cells"], 1);
  EXPECT_EQ(curve["boundary_lr"]["blocked_seeds"], 1);
  EXPECT_EQ(curve["boundary_lr"]["brackets"].size(), 1u);
}

TEST(Report, CellsThatNarrowABracketAreMarked) {
  test::FixtureOptions options;
  options.seeds = {1, 2, 3, 4, 5, 6};
  options.refined = true;
  const Json d = document_of(options);
  std::size_t refined = 0, relapsed = 0;
  for (const Json& cell : d["cells"]) {
    refined += cell["refined"].get<bool>();
    relapsed += cell["relapsed"].get<bool>();
    EXPECT_NEAR(cell["effective_lr"].get<double>(), 0.01 * cell["lr"].get<double>(), 1e-12);
  }
  EXPECT_EQ(refined, 6u * (2 + 1));
  EXPECT_EQ(relapsed, 1u);
  const Json &without = d["analysis"]["curves"][0], &with = d["analysis"]["curves"][1];
  EXPECT_EQ(without["means"].size(), 4u);  // of the grid alone
  EXPECT_EQ(without["refined_cells"], 12);
  // Each bracket was halved twice, of half a decade.
  EXPECT_NEAR(without["boundary_lr"]["width_decades"].get<double>(), std::log10(3.0) / 4, 1e-3);
  EXPECT_EQ(with["boundary_lr"]["reentrant_seeds"], 1);
  EXPECT_EQ(d["analysis"]["comparisons"][0]["shift"]["later"], 5);
  EXPECT_EQ(d["analysis"]["multiplicity"], "");
}

TEST(Report, SeveralComparisonsAreCountedAndCorrectedTogether) {
  test::FixtureOptions options;
  options.more_arms = 7;
  const Json analysis = document_of(options)["analysis"];
  EXPECT_EQ(analysis["comparisons_made"], 8u);
  EXPECT_EQ(analysis["multiplicity"], analysis["verdict"].back());
  EXPECT_NE(analysis["multiplicity"].get<std::string>().find("8 comparisons were made"), std::string::npos);
}

TEST(Report, DataCannotLeaveItsElement) {
  Json document = document_of({});
  document["title"] = "</script><script>alert(1)</script> & \xff";  // not even valid UTF-8
  const std::string page = report_page(document);
  // The closing tags of the two elements the page itself has, and no other.
  std::size_t tags = 0;
  for (std::size_t at = page.find("</script>"); at != std::string::npos; at = page.find("</script>", at + 1))
    ++tags;
  EXPECT_EQ(tags, 2u);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_NE(page.find("&lt;/script&gt;&lt;script&gt;"), std::string::npos);
}

TEST(Report, IsOneFileThatLoadsNothing) {
  const std::string page = report_page(document_of({}));
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(page.find(" src="), page.find(" src=\"data:"));
  EXPECT_EQ(page.find("@import"), std::string::npos);
  EXPECT_GT(page_script().size(), 100000u);
}

TEST(Report, IsTheSameForTheSameRuns) {
  const test::TempFolder folder;
  test::FixtureSweep(folder.path(), {}).write();
  const fs::path a = folder.path() / "a.html", b = folder.path() / "deep" / "b.html";
  write_report(report_document({folder.path()}), a);
  write_report(report_document({folder.path()}), b);
  EXPECT_EQ(read_file(a), read_file(b));
}

TEST(Report, AFolderWithoutRunsIsSaidToBe) {
  const test::TempFolder folder;
  EXPECT_THROW(report_document({folder.path()}), InputError);
}

TEST(Report, TakesWhatProbesSaidAndNothingElse) {
  const test::TempFolder folder;
  const fs::path file = folder.path() / "probe.json";
  const Json sublayer{
      {"site", "blocks.0.attn"}, {"beta", {0.1234567, "nan", INFINITY}}, {"dependency", 0.5}, {"more", 1}};
  const Json answer{
      {"run", nullptr},
      {"step", 0},
      {"config_hash", "0123"},
      {"dependency",
       {{"scheme", "post_ln"}, {"stacks", {{{"stack", "blocks"}, {"sublayers", Json::array({sublayer})}}}}}}};
  write_json(file, Json::array({answer}));
  const Json probes = read_probe_answers({file});
  ASSERT_EQ(probes.size(), 1u);
  const Json& drawn = probes[0]["dependency"]["stacks"][0]["sublayers"][0];
  EXPECT_EQ(json_text(drawn),
            R"({"beta":[0.12346,null,null],"dependency":0.5,"nonfinite":"beta[1]=nan beta[2]=inf",)"
            R"("site":"blocks.0.attn"})");
  EXPECT_EQ(json_text(probes_document(probes)["probes"]), json_text(probes));
  EXPECT_EQ(document_of({})["probes"], Json::array());
  for (const Json& other : {Json(3), Json::array(), Json{{"sharpness", 1}}, Json{{"dependency", 1}}}) {
    write_json(file, other);
    EXPECT_THROW(read_probe_answers({file}), InputError) << other;
  }
}

}  // namespace
}  // namespace evenkeel::report
