// A sweep's folder with plausible numbers, written through the runs API in no time: for tests of whatever
// only reads runs.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "evenkeel/base/files.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::test {

namespace fs = std::filesystem;

struct FixtureOptions {
  std::vector<std::string> sizes{"d64"};
  std::vector<std::int64_t> seeds{1, 2};
  std::string title = "Does qk-norm move the boundary?";
  bool leave_one_out = false;  ///< the last cell is planned but never began
  bool sweep_file = true;      ///< false: a plain folder of runs
  bool pairs = false;          ///< of an encoder-decoder
  std::string change_at{};     ///< attention ten times sharper from there on; "": no change
  /// Cells that narrow each seed's bracket: two without qk-norm, one above the grid with it. One seed with
  /// qk-norm relapses at LR 0.3 and is stable again at 1.
  bool refined = false;
  /// More arms than the two of qk_norm off and per_head: the latter with this many other z-losses.
  int more_arms = 0;
};

class FixtureSweep {
 public:
  FixtureSweep(fs::path folder, FixtureOptions options)
      : folder_(std::move(folder)), options_(std::move(options)) {}

  void write() {
    for (const auto& size : options_.sizes)
      for (int arm = 0; arm < 2 + options_.more_arms; ++arm)
        for (const std::int64_t seed : options_.seeds) {
          for (std::size_t i = 0; i < 4; ++i) write_cell(size, arm, {kLrs[i], i, 0}, seed);
          if (options_.refined)
            for (const auto& lr : arm == 0 ? without(seed) : with()) write_cell(size, arm, lr, seed);
        }
    if (!options_.sweep_file) return;
    Json axes{{"optim.lr", {0.03, 0.1, 0.3, 1}},
              {"interventions.qk_norm", {"off", "per_head"}},
              {"train.seed", options_.seeds}};
    if (options_.more_arms > 0) {
      axes["interventions.z_loss"] = {kZLoss};
      for (int arm = 2; arm < 2 + options_.more_arms; ++arm)
        axes["interventions.z_loss"].push_back(z_loss(arm));
    }
    const Json study{{"title", options_.title},
                     {"question", "Where does training break without qk-norm, and where with it?"},
                     {"expectation", "The boundary LR moves up by half a decade or more."},
                     {"criterion", ""},
                     {"cost", ""}};
    write_json(
        folder_ / "sweep.json",
        {{"format", 1}, {"study", study}, {"axes", axes}, {"cells", cells_}, {"notes", Json::array()}});
  }

 private:
  static constexpr double kLrs[4] = {0.03, 0.1, 0.3, 1};
  // The last of each is like no LR of the grid.
  static constexpr double kLoss[2][5] = {{2.25, 2.08, 2.48, NAN, NAN}, {2.30, 2.11, 2.02, 2.24, 3.1}};
  static constexpr double kLogit[2][5] = {{13, 113, 4600, 4.9e5, 4.9e5}, {3.5, 10, 26, 79, 240}};
  static constexpr double kEntropy[2][5] = {{2.4, 0.52, 0.011, 0.0002, 0.0002}, {3.1, 2.2, 1.6, 1.1, 0.7}};
  static constexpr std::int64_t kSteps = 300;
  static constexpr double kZLoss = 1e-4;

  /// A learning rate, the one of the grid whose numbers the cell has, and the round that added it.
  struct Rate {
    double lr = 0;
    std::size_t like = 0;
    int round = 0;
  };
  /// Bisections of (0.1, 0.3]: seeds break at one of three places in it.
  static std::vector<Rate> without(std::int64_t seed) {
    if (seed % 3 == 0) return {{0.1732, 2, 1}, {0.1316, 1, 2}};
    return {{0.1732, 1, 1}, {0.2279, seed % 3 == 1 ? 2u : 1u, 2}};
  }
  static std::vector<Rate> with() { return {{3.333, 4, 1}}; }
  static double z_loss(int arm) { return arm < 2 ? kZLoss : kZLoss * (arm + 1); }
  bool relapses(int arm, const Rate& rate, std::int64_t seed) const {
    return options_.refined && arm == 1 && rate.lr == 0.3 && seed == 2;
  }

  void write_cell(const std::string& size, int arm_index, const Rate& rate, std::int64_t seed) {
    const QkNorm norm = arm_index == 0 ? QkNorm::kOff : QkNorm::kPerHead;
    Json settings{
        {"arch", {{"size", size}, {"family", options_.pairs ? "seq2seq" : "decoder_lm"}}},
        {"optim", {{"lr", rate.lr}}},
        {"train", {{"seed", seed}}},
        {"interventions", {{"qk_norm", std::string(enum_name(norm))}, {"z_loss", z_loss(arm_index)}}}};
    if (!options_.change_at.empty())
      settings["change"] = {{"at", options_.change_at}, {"attention_temperature", 0.1}};
    Experiment e = experiment_from(settings_from_json(settings, "fixture"));
    resolve(e, {options_.pairs ? DataKind::kSyntheticPairs : DataKind::kSynthetic, 256, "0011223344556677"},
            false);
    const std::string hash = config_hash(e);
    std::string arm = "qk_norm=" + std::string(enum_name(norm));
    if (arm_index > 1) arm += fmt::format(",z_loss={:g}", z_loss(arm_index));
    const bool leave_out = options_.leave_one_out && size == options_.sizes.back() &&
                           norm == QkNorm::kPerHead && rate.like == 3 && seed == options_.seeds.back();
    cells_.push_back({{"hash", hash},
                      {"arm", arm},
                      {"size", size},
                      {"lr", rate.lr},
                      {"seed", seed},
                      {"params", e.arch.params()},
                      {"attempts", leave_out ? 0 : 1},
                      {"state", leave_out ? "pending" : "done"}});
    if (rate.round > 0) cells_.back()["round"] = rate.round;
    if (leave_out) return;
    const fs::path run = folder_ / "cells" / hash;
    make_folder(run);
    runs::Manifest manifest;
    manifest.experiment = e;
    manifest.config_hash = hash;
    manifest.arm = options_.sweep_file ? arm : "";
    manifest.data = {"synthetic", 4.9, 3.1, 1.6, kSteps * 2048};
    manifest.versions = {{"evenkeel", "0.1.0"}, {"format", 1}};
    manifest.environment = {{"processor", "Test Processor"}};
    runs::write_manifest(run, manifest);
    write_records(run, e, norm == QkNorm::kOff ? 0 : 1, rate.like, relapses(arm_index, rate, seed));
  }

  void write_records(const fs::path& run, const Experiment& e, std::size_t arm, std::size_t lr,
                     bool relapsed) {
    // Not by the folder, which is a hash of the whole configuration: the numbers outlive new fields.
    Rng rng(static_cast<std::uint64_t>(e.train.seed), fmt::format("{} {} {}", *e.arch.size, arm, lr));
    const double l0 = 5.9 + 0.02 * rng.normal(), spread = 0.03 * rng.normal();
    const double bigger = e.arch.D() > 64 ? -0.1 : 0;
    const double end = kLoss[arm][lr] + spread + bigger;
    const bool lost = !std::isfinite(end);
    const std::int64_t last = lost ? 120 + e.train.seed : kSteps;
    AppendFile metrics(run / "metrics.jsonl", 0), heads(run / "heads.jsonl", 0),
        timing(run / "timing.jsonl", 0), events(run / "events.jsonl", 0);
    metrics.write_line(runs::encode_record({{"step", 0}, {"loss/valid/ce", l0}}));
    double loss = l0;
    for (std::int64_t step = 1; step <= last; ++step) {
      const double t = static_cast<double>(step) / kSteps, target = lost ? 2.6 : end;
      loss = target + (l0 - target) * std::exp(-9 * t) + 0.04 * rng.normal() + (lost ? 3 * t * t : 0);
      Json record{
          {"step", step}, {"tokens", step * 2048}, {"loss/train/ce", lost && step == last ? NAN : loss}};
      if (!lost && (step % 75 == 0 || step == last)) record["loss/valid/ce"] = step == last ? end : loss;
      metrics.write_line(runs::encode_record(record));
      if (step % 10 == 0 || step == 1)
        heads.write_line(
            runs::encode_record(head_record(e, step, t, kLogit[arm][lr], kEntropy[arm][lr], rng)));
    }
    timing.write_line(runs::encode_record(
        {{"step", last},
         {"tokens_per_s", 41000.0 - 2000.0 * static_cast<double>(arm) + 300 * rng.normal()}}));
    if (lost)
      events.write_line(runs::encode_record({{"step", last}, {"kind", "nonfinite"}, {"what", "loss"}}));
    runs::Result result;
    result.label = lost ? "nonfinite" : "finished";
    result.steps = last;
    result.final_loss = lost ? NAN : end;
    result.train_loss = lost ? NAN : end - 0.02;
    result.l0 = l0;
    if (lost) result.nonfinite_step = last;
    if (relapsed) {
      result.relapsed = true;
      result.relapse_step = last - 20;
    }
    result.digest = Json::object();
    runs::write_result(run, result);
  }

  static Json head_record(const Experiment& e, std::int64_t step, double t, double logit, double entropy,
                          Rng& rng) {
    // Updates are a hundredth of the learning rate times the weights, in every tensor.
    Json record{{"step", step},
                {"tensor/blocks.0.attn.qkv.weight/param_rms", 0.02},
                {"tensor/blocks.0.attn.qkv.weight/update_rms", 0.02 * 0.01 * e.optim.lr}};
    const bool pairs = e.arch.family == Family::kSeq2Seq;
    for (const char* kind :
         pairs ? std::vector<const char*>{"encoder_", "decoder_", "cross_"} : std::vector<const char*>{""})
      for (std::int64_t layer = 0; layer < e.arch.L(); ++layer) {
        const std::string site = fmt::format("attn/{}layer{:02d}/", kind, layer);
        for (std::int64_t head = 0; head < e.arch.H(); ++head) {
          const double grow = std::pow(logit, std::sqrt(t)) * std::exp(0.15 * rng.normal());
          const double h = 3.9 + (entropy - 3.9) * std::sqrt(t) * (layer == 0 ? 1 : 0.7);
          record[site + "logit_max"].push_back(grow);
          record[site + "qk_sigma"].push_back(grow / 2);
          record[site + "entropy"].push_back(std::max(0.0, h));
          record[site + "entropy_norm"].push_back(std::clamp(h / 4.0 * (1 + 0.1 * rng.normal()), 0.0, 1.0));
        }
      }
    return record;
  }

  fs::path folder_;
  FixtureOptions options_;
  Json cells_ = Json::array();
};

}  // namespace evenkeel::test
