#include "evenkeel/runs/summary.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/runs/progress.h"
#include "evenkeel/runs/run_writer.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

/// A finished run of 1000 steps with peaks, gaps and a loss that ends as NaN.
void write_run(const fs::path& run) {
  Manifest m;
  m.experiment = experiment_from({{"optim.lr", {0.1, "test"}}, {"train.seed", {7, "test"}}});
  resolve(m.experiment, {DataKind::kSynthetic, 256, "f00d"}, false);
  m.config_hash = config_hash(m.experiment);
  m.data = {"synthetic", 4.9, 3.1, 1.6, 1000};
  const RunLock lock(run);
  RunWriter writer = RunWriter::start(lock, m);
  writer.metrics({{"step", 0}, {"loss/valid/ce", 5.5}});
  for (int step = 1; step <= 1000; ++step) {
    const double loss = step == 432 ? 77.0 : step == 1000 ? NAN : 5.0 / step;
    writer.metrics({{"step", step}, {"loss/train/ce", loss}, {"logits/out/mean", -0.01 * step}});
    if (step % 10 == 0)
      writer.heads({{"step", step},
                    {"attn/layer00/logit_max", {1.0, step == 500 ? 900.0 : 2.0}},
                    {"attn/layer00/entropy", {3.0, 1.0}},
                    {"attn/layer00/entropy_norm", {0.01, 0.5}},
                    {"tensor/a/param_rms", 2.0},
                    {"tensor/a/update_rms", 0.02},
                    {"tensor/a/grad_rms", 1e-3}});
    if (step == 15) writer.event({{"step", step}, {"kind", "spike"}});
    if (step % 100 == 0) writer.timing({{"step", step}, {"step_s", 0.001 * step}});
  }
  Result r;
  r.label = "nonfinite";
  r.steps = 1000;
  r.l0 = 5.5;
  r.final_loss = NAN;
  writer.finish(r);
}

/// The cell of the line files alone.
Cell without_summary(const fs::path& run) {
  const fs::path aside = run / "aside";
  fs::rename(run / "summary.jsonl", aside);
  Cell cell = load_cell(run);
  fs::rename(aside, run / "summary.jsonl");
  return cell;
}

void expect_same(double a, double b, const char* what) {
  EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << what << ": " << a << " and " << b;
}

TEST(Summary, SaysWhatTheLineFilesSay) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  write_run(run);
  const Cell fast = load_cell(run), slow = without_summary(run);
  ASSERT_TRUE(fast.summed);
  ASSERT_FALSE(slow.summed);
  EXPECT_EQ(fast.size, slow.size);
  EXPECT_EQ(fast.params, slow.params);
  EXPECT_EQ(fast.lr, slow.lr);
  EXPECT_EQ(fast.seed, 7);
  EXPECT_EQ(fast.steps, slow.steps);
  EXPECT_EQ(fast.config_hash, slow.config_hash);
  EXPECT_EQ(fast.config, slow.config);
  expect_same(fast.h1, slow.h1, "h1");
  expect_same(fast.floor, slow.floor, "floor");
  expect_same(fast.l0, slow.l0, "l0");
  EXPECT_EQ(step_ms(fast), step_ms(slow));
  EXPECT_EQ(step_ms(fast), 550);
  EXPECT_EQ(effective_lr_of(fast), effective_lr_of(slow));
  EXPECT_EQ(effective_lr_of(fast), 0.01);
  // A loss that ended as NaN is no missing one.
  ASSERT_TRUE(progress_of(fast).train_loss);
  EXPECT_TRUE(std::isnan(*progress_of(fast).train_loss));
  const Json listed = summary_json(fast, progress_of(fast)), of_lines = summary_json(slow, progress_of(slow));
  EXPECT_EQ(listed.dump(), of_lines.dump());

  const Outcomes a = outcomes_of(fast), b = outcomes_of(slow);
  EXPECT_EQ(a.logit_peak, 900);
  EXPECT_EQ(a.logit_peak, b.logit_peak);
  EXPECT_EQ(a.entropy_low, b.entropy_low);
  EXPECT_EQ(a.logit_mean_end, b.logit_mean_end);
  expect_same(a.logz_end, b.logz_end, "log Z");
  expect_same(a.edge_peak, b.edge_peak, "edge");
  EXPECT_EQ(a.grad_rms_low, 1e-3);
  EXPECT_EQ(a.collapsed_share, 0.5);
  EXPECT_EQ(a.heads_step, 1000);
  EXPECT_EQ(a.spikes, 1);
}

TEST(Summary, ThinnedSeriesKeepTheirPeaksAndSayHowManyTheyWere) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  write_run(run);
  const Signals fast = signals_of(load_cell(run)), slow = signals_of(without_summary(run));
  EXPECT_EQ(slow.train_loss.steps.size(), 1000u);
  EXPECT_EQ(slow.train_loss.recorded, 0u);
  EXPECT_LE(fast.train_loss.steps.size(), kSummaryPoints + 10);
  EXPECT_EQ(fast.train_loss.recorded, 1000u);
  EXPECT_EQ(peak(fast.train_loss, true), 77);
  EXPECT_TRUE(std::isnan(fast.train_loss.values.back()));
  EXPECT_EQ(fast.valid_loss.steps, slow.valid_loss.steps);
  ASSERT_EQ(fast.attention.size(), 1u);
  EXPECT_EQ(fast.attention[0].kind, slow.attention[0].kind);
  EXPECT_EQ(fast.attention[0].end_entropy, slow.attention[0].end_entropy);
  EXPECT_EQ(fast.attention[0].logit_max.values, slow.attention[0].logit_max.values)
      << "100 points are kept as they are";
  EXPECT_EQ(fast.attention[0].logit_max.recorded, 0u);
}

TEST(Summary, IsNotBelievedWhereAFileChangedAfterTheEnd) {
  for (const char* name :
       {"manifest.json", "metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl", "summary.jsonl"}) {
    const test::TempFolder folder;
    const fs::path run = folder / "run";
    write_run(run);
    fs::last_write_time(run / name, fs::last_write_time(run / "result.json") + std::chrono::seconds(1));
    EXPECT_FALSE(load_cell(run).summed) << name;
  }
}

TEST(Summary, DamageOfLineFilesIsStillSaid) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  write_run(run);
  std::string content = read_file(run / "metrics.jsonl");
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  write_file(run / "metrics.jsonl", content);
  fs::last_write_time(run / "metrics.jsonl",
                      fs::last_write_time(run / "result.json") + std::chrono::seconds(1));
  EXPECT_EQ(load_cell(run).damage.size(), 1u);
}

TEST(Summary, ADamagedOrForeignOneIsPassedOver) {
  const test::TempFolder folder;
  const fs::path run = folder / "run", other = folder / "other";
  write_run(run);
  const std::string whole = read_file(run / "summary.jsonl");
  const auto replace = [&](const std::string& content) {
    const auto time = fs::last_write_time(run / "summary.jsonl");
    write_file(run / "summary.jsonl", content);
    fs::last_write_time(run / "summary.jsonl", time);
  };
  // Facts and configuration are checked at once, the rest when somebody asks for it.
  for (std::size_t at : {std::size_t{30}, whole.find('\n') + 40}) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    replace(flipped);
    EXPECT_FALSE(load_cell(run).summed) << at;
  }
  std::string flipped = whole;
  flipped[whole.find("logit_peak")] ^= 1;
  replace(flipped);
  const Cell cell = load_cell(run);
  ASSERT_TRUE(cell.summed);
  EXPECT_EQ(outcomes_of(cell).logit_peak, 900);
  EXPECT_EQ(signals_of(cell).train_loss.steps.size(), 1000u) << "of the line files";

  // Of a version with other fields: the manifest fills in those that are new.
  Json newer = *decode_record(std::string_view(whole).substr(0, whole.find('\n')));
  newer["fields"] = "0011223344556677";
  replace(encode_record(newer) + whole.substr(whole.find('\n')));
  EXPECT_FALSE(load_cell(run).summed);

  replace(whole.substr(0, 100));
  EXPECT_FALSE(load_cell(run).summed);
  replace("");
  EXPECT_FALSE(load_cell(run).summed);
  // One of another result of the same configuration.
  std::string digest = read_result(run)->digest.at("metrics.jsonl");
  std::string foreign = whole.substr(whole.find('\n') + 1);
  Json facts = *decode_record(std::string_view(whole).substr(0, whole.find('\n')));
  facts["digest"]["metrics.jsonl"] = std::string(digest.rbegin(), digest.rend());
  replace(encode_record(facts) + "\n" + foreign);
  EXPECT_FALSE(load_cell(run).summed);
  fs::remove(run / "summary.jsonl");
  EXPECT_FALSE(load_cell(run).summed) << "a run of an earlier version has none";
}

TEST(Summary, AMissingManifestIsAnErrorAsBefore) {
  const test::TempFolder folder;
  const fs::path run = folder / "run";
  write_run(run);
  fs::remove(run / "manifest.json");
  EXPECT_THROW(load_cell(run), InputError);
}

TEST(Summary, ManyRunsAreLoadedInOrderWithTheirFaults) {
  const test::TempFolder folder;
  std::vector<fs::path> runs;
  for (int i = 0; i < 120; ++i) {  // enough for two threads
    const fs::path run = folder / std::to_string(1000 + i);
    if (i == 0) write_run(run);
    else fs::copy(runs[0], run, fs::copy_options::recursive);
    if (i == 60) fs::remove(run / "manifest.json");
    runs.push_back(run);
  }
  const std::vector<Loaded> all = load_all(runs);
  ASSERT_EQ(all.size(), runs.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i == 60) {
      EXPECT_FALSE(all[i].cell);
      EXPECT_NE(all[i].why.find("is not a run"), std::string::npos) << all[i].why;
    } else {
      ASSERT_TRUE(all[i].cell) << all[i].why;
      EXPECT_EQ(all[i].cell->run, runs[i]);
    }
  }
}

}  // namespace
}  // namespace evenkeel::runs
