// All treatments together: every pair of settings that the configuration allows trains three steps at D = 16,
// on every family, and goes on bit for bit where it was stopped.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/data/source.h"
#include "evenkeel/interventions/registry.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/train/trainer.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::train {
namespace {

struct Factor {
  std::string field;
  std::vector<Json> levels;  ///< the first is always allowed
};

std::vector<Factor> factors() {
  const std::string interventions = "interventions.";
  std::vector<Factor> all{
      {"train.ops", {"fused", "plain"}},
      {"optim.algorithm",
       {"adamw", "adam", "radam", "sgd", "lars", "adagrad", "lamb", "adam_atan2", "stable_adamw", "muon",
        "adam_h", "muon_h"}},
      {"optim.schedule", {"cosine", "wsd"}},
      {"optim.adaptive_clip", {"off", "zclip", "adagc"}},
      {"optim.skip_step", {0.0, 6.0}},
      {"arch.residual", {"pre_ln", "post_ln", "admin", "none"}},
      {"arch.dropout", {0.0, 0.1}},
      {interventions + "output_gate", {"off", "headwise", "elementwise"}},
      {interventions + "qk_norm", {"off", "per_head", "per_head_own", "whole_dim"}},
      {interventions + "sigma_reparam", {"off", "on", "spectral_norm", "stats_only"}},
      {interventions + "sigma.tied_head", {false, true}},
      {interventions + "weight_norm", {false, true}},
      {interventions + "z_loss", {0.0, 0.01}},
      {interventions + "attention_scale", {"root_width", "width"}},
      {interventions + "attention_softcap", {0.0, 5.0}},
      {interventions + "attention_sink", {"off", "off_by_one", "learnable"}},
      {interventions + "attention_function", {"softmax", "squared_relu"}},
      {interventions + "kappa", {0.0, 2.0}},
      {interventions + "qk_clip", {0.0, 0.01}},
      {interventions + "output_softcap", {0.0, 10.0}},
      {interventions + "mu_param", {"off", "simple", "intermediate", "full", "complete_p"}},
      {interventions + "rms_scaled_lr", {false, true}},
      {"arch.head", {"by_family", "tied", "own"}},
      {interventions + "embedding", {"off", "scale", "norm"}},
      {interventions + "freeze", {"", "embed.* *.fc1.weight"}},
      {interventions + "no_decay", {"", "embed.*"}}};
  return all;
}

using Row = std::vector<std::size_t>;  ///< a level of each factor

Experiment experiment_of(const std::vector<Factor>& all, const Row& row, const char* family) {
  Settings settings{{"arch.family", {family, "test"}},
                    {"arch.width", {16, "test"}},
                    {"arch.depth", {1, "test"}},
                    {"arch.heads", {2, "test"}},
                    {"arch.context", {24, "test"}},
                    {"train.batch", {2, "test"}},
                    {"train.steps", {3, "test"}},
                    {"train.precision", {"fp32", "test"}},
                    {"optim.warmup", {"1step", "test"}},
                    {"optim.lr", {0.01, "test"}},
                    {"data.valid_tokens", {64, "test"}},
                    {"telemetry.spectra_every", {1, "test"}},
                    {"telemetry.heads_every", {1, "test"}},
                    {"interventions.mu.base_width", {8, "test"}}};
  if (std::string(family) == "seq2seq") {
    settings["data.batch_tokens"] = {64, "test"};
    settings["data.pairs.count"] = {64, "test"};
  }
  for (std::size_t i = 0; i < all.size(); ++i) settings[all[i].field] = {all[i].levels[row[i]], "test"};
  return experiment_from(settings);
}

bool allowed(const std::vector<Factor>& all, const Row& row, const char* family) {
  try {
    experiment_of(all, row, family);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

/// Rows that hold every allowed pair of levels, each row made to hold as many open pairs as it can.
std::vector<Row> covering_array(const std::vector<Factor>& all, const char* family) {
  using Pair = std::array<std::size_t, 4>;  // factor, level, other factor, its level
  std::set<Pair> open;
  const Row base(all.size(), 0);
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = i + 1; j < all.size(); ++j)
      for (std::size_t a = 0; a < all[i].levels.size(); ++a)
        for (std::size_t b = 0; b < all[j].levels.size(); ++b) {
          Row row = base;
          row[i] = a;
          row[j] = b;
          if (allowed(all, row, family)) open.insert({i, a, j, b});
        }
  std::vector<Row> rows;
  while (!open.empty()) {
    const auto [i, a, j, b] = *open.begin();
    Row row = base;
    row[i] = a;
    row[j] = b;
    for (std::size_t k = 0; k < all.size(); ++k) {
      if (k == i || k == j) continue;
      std::size_t best = 0, most = 0;
      for (std::size_t level = 0; level < all[k].levels.size(); ++level) {
        std::size_t gain = 0;
        for (std::size_t other = 0; other < all.size(); ++other) {
          if (other == k) continue;
          gain +=
              open.count(k < other ? Pair{k, level, other, row[other]} : Pair{other, row[other], k, level});
        }
        Row trial = row;
        trial[k] = level;
        if (gain > most && allowed(all, trial, family)) {
          best = level;
          most = gain;
        }
      }
      row[k] = best;
    }
    const std::size_t before = open.size();
    for (std::size_t k = 0; k < all.size(); ++k)
      for (std::size_t other = k + 1; other < all.size(); ++other) open.erase({k, row[k], other, row[other]});
    if (open.size() == before) throw std::logic_error("a pair is allowed alone and with nothing else");
    rows.push_back(row);
  }
  return rows;
}

std::string text_of(const std::vector<Factor>& all, const Row& row) {
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (row[i] != 0) text += fmt::format("{}={} ", all[i].field, all[i].levels[row[i]].dump());
  return text;
}

void prepare_run(const std::filesystem::path& run, Experiment e) {
  runs::Manifest m;
  resolve(e, data::facts_for_resolve(*data::open_source(e.data, e.arch.context), e.data), false);
  m.experiment = e;
  m.config_hash = config_hash(e);
  make_folder(run);
  runs::write_manifest(run, m);
}

// No treatment may be added without being tried beside the others.
TEST(Treatments, AllAreFactors) {
  std::set<std::string> fields;
  for (const Factor& factor : factors()) fields.insert(factor.field);
  for (const interventions::Intervention& one : interventions::all())
    EXPECT_TRUE(fields.count(std::string("interventions.") + one.field)) << one.field;
}

TEST(Treatments, EveryPairTrainsAndResumesOnEveryFamily) {
  const std::vector<Factor> all = factors();
  for (const auto& [value, name] : EnumNames<Family>::names) {
    const std::string family(name);
    for (const Row& row : covering_array(all, family.c_str())) {
      SCOPED_TRACE(family + " " + text_of(all, row));
      const test::TempFolder folder;
      const std::filesystem::path whole = folder / "whole", stopped = folder / "stopped";
      for (const auto& run : {whole, stopped}) prepare_run(run, experiment_of(all, row, family.c_str()));
      ASSERT_EQ(run(whole, {}), Outcome::kFinished);
      int steps = 0;
      ASSERT_EQ(run(stopped, {.stop_requested = [&] { return ++steps == 2; }}), Outcome::kInterrupted);
      ASSERT_EQ(run(stopped, {}), Outcome::kFinished);
      for (const char* file : {"metrics.jsonl", "heads.jsonl", "events.jsonl", "result.json"})
        EXPECT_EQ(read_file(whole / file), read_file(stopped / file)) << file;
      EXPECT_TRUE(std::isfinite(runs::read_result(whole)->final_loss));
    }
  }
}

}  // namespace
}  // namespace evenkeel::train
