// Writes a large sweep without training it: write_many FOLDER RUNS RECORDS. Twenty arms, ten learning rates,
// as many seeds as it takes; every run has RECORDS records of 20 scalars in metrics.jsonl and a tenth as many
// in heads.jsonl. For benchmarks of whatever reads many runs (tools/scale).
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/base/files.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/runs/run_writer.h"
#include "evenkeel/runs/summary.h"

namespace {

using namespace evenkeel;

constexpr int kArms = 20, kRates = 10;

double rate_of(int index) {
  return std::pow(10.0, -2.5 + 0.25 * index);
}
double z_loss_of(int arm) {
  return 1e-5 * (arm + 1);
}
/// The index of the first rate at which an arm's seed breaks.
int breaks_at(int arm, std::int64_t seed) {
  return 5 + (arm + static_cast<int>(seed)) % 4;
}

/// Records of one run; `unstable` ends it high.
struct Lines {
  std::vector<Json> metrics, heads;
  double end = 0;
};

Lines lines_of(std::int64_t records, bool unstable, std::uint64_t variant) {
  Rng rng(variant, unstable ? "unstable" : "stable");
  Lines lines;
  lines.metrics.push_back({{"step", 0}, {"loss/valid/ce", 5.0}});
  lines.end = (unstable ? 3.9 : 2.0) + 0.01 * rng.normal();
  for (std::int64_t step = 1; step <= records; ++step) {
    const double t = static_cast<double>(step) / static_cast<double>(records);
    Json record{{"step", step}, {"tokens", step * 1024}};
    record["loss/train/ce"] = lines.end + (5.0 - lines.end) * std::exp(-9 * t) + 0.04 * rng.normal();
    for (const char* id : {"loss/train/z", "grad/all/norm", "grad/all/norm_clipped", "optim/all/lr",
                           "logits/out/mean", "logits/out/logz"})
      record[id] = std::exp(rng.normal());
    for (int i = 0; i < 12; ++i) record[fmt::format("extra/{:02d}/value", i)] = rng.normal();
    if (step == records) record["loss/valid/ce"] = lines.end;
    lines.metrics.push_back(std::move(record));
    if (step % 10 != 0 && step != 1 && step != records) continue;
    Json heads{{"step", step}, {"attn/all/collapsed", 0.0}};
    for (int layer = 0; layer < 2; ++layer) {
      const std::string site = fmt::format("attn/layer{:02d}/", layer);
      for (const char* id : {"logit_max", "entropy", "entropy_norm"}) {
        Json& values = heads[site + id] = Json::array();
        for (int head = 0; head < 4; ++head) values.push_back(std::abs(rng.normal()));
      }
      const std::string tensor = fmt::format("tensor/blocks.{}.attn.q.weight/", layer);
      heads[tensor + "param_rms"] = 0.1;
      heads[tensor + "update_rms"] = 0.001 * std::exp(0.1 * rng.normal());
      heads[tensor + "grad_rms"] = 1e-4 * std::exp(rng.normal());
    }
    lines.heads.push_back(std::move(heads));
  }
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: write_many FOLDER RUNS RECORDS\n", stderr);
    return 2;
  }
  const fs::path folder = argv[1];
  const int runs = std::atoi(argv[2]), seeds = (runs + kArms * kRates - 1) / (kArms * kRates);
  const std::int64_t records = std::atoll(argv[3]);
  constexpr std::uint64_t kVariants = 5;
  std::vector<Lines> stable, unstable;
  for (std::uint64_t v = 0; v < kVariants; ++v) {
    stable.push_back(lines_of(records, false, v));
    unstable.push_back(lines_of(records, true, v));
  }
  Json cells = Json::array(), lrs = Json::array(), z_losses = Json::array(), all_seeds = Json::array();
  for (int i = 0; i < kRates; ++i) lrs.push_back(rate_of(i));
  for (int i = 0; i < kArms; ++i) z_losses.push_back(z_loss_of(i));
  for (int i = 0; i < seeds; ++i) all_seeds.push_back(i);
  std::map<std::pair<bool, std::size_t>, fs::path> firsts;
  int written = 0;
  for (int seed = 0; seed < seeds; ++seed)
    for (int arm = 0; arm < kArms; ++arm)
      for (int rate = 0; rate < kRates && written < runs; ++rate, ++written) {
        const Json settings{{"arch", {{"size", "d64"}}},
                            {"optim", {{"lr", rate_of(rate)}}},
                            {"train", {{"seed", seed}, {"steps", records}}},
                            {"interventions", {{"z_loss", z_loss_of(arm)}}}};
        Experiment e = experiment_from(settings_from_json(settings, "write_many"));
        resolve(e, {DataKind::kSynthetic, 256, "0011223344556677"}, false);
        const bool broken = rate >= breaks_at(arm, seed);
        const Lines& lines = (broken ? unstable : stable)[static_cast<std::size_t>(written) % kVariants];
        runs::Manifest manifest;
        manifest.experiment = e;
        manifest.config_hash = config_hash(e);
        manifest.arm = fmt::format("z_loss={:g}", z_loss_of(arm));
        manifest.data = {"synthetic", 4.0, 3.1, 1.6, records * 1024};
        manifest.versions = {{"evenkeel", "0.1.0"}, {"format", 1}};
        manifest.environment = {{"processor", "Test Processor"}};
        const fs::path run = folder / "cells" / manifest.config_hash;
        runs::Result result;
        result.label = "finished";
        result.steps = records;
        result.seen_tokens = records * 1024;
        result.final_loss = lines.end;
        result.train_loss = lines.end - 0.02;
        result.l0 = 5.0;
        // Runs of one variant have the same lines: the first writes them, the others link them.
        fs::path& first = firsts[{broken, static_cast<std::size_t>(written) % kVariants}];
        if (first.empty()) {
          first = run;
          const runs::RunLock lock(run);
          runs::RunWriter writer = runs::RunWriter::start(lock, manifest);
          for (const Json& record : lines.metrics) writer.metrics(record);
          for (const Json& record : lines.heads) writer.heads(record);
          writer.timing({{"step", records}, {"step_s", 0.01}});
          writer.finish(result);
        } else {
          make_folder(run);
          for (const char* name : {"metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl"})
            fs::create_hard_link(first / name, run / name);
          runs::write_manifest(run, manifest);
          result.digest = runs::read_result(first)->digest;
          runs::write_summary(run, result);
          runs::write_result(run, result);
        }
        cells.push_back({{"hash", manifest.config_hash},
                         {"arm", manifest.arm},
                         {"size", "d64"},
                         {"lr", rate_of(rate)},
                         {"seed", seed},
                         {"params", e.arch.params()},
                         {"attempts", 1},
                         {"state", "done"}});
      }
  write_json(
      folder / "sweep.json",
      {{"format", 1},
       {"study",
        {{"title", "Many runs"}, {"question", ""}, {"expectation", ""}, {"criterion", ""}, {"cost", ""}}},
       {"axes", {{"optim.lr", lrs}, {"interventions.z_loss", z_losses}, {"train.seed", all_seeds}}},
       {"cells", cells},
       {"notes", Json::array()}});
}
