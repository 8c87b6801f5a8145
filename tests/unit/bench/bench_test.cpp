#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "evenkeel/base/error.h"
#include "evenkeel/bench/bars.h"
#include "evenkeel/bench/batches.h"
#include "evenkeel/bench/config.h"
#include "evenkeel/bench/contestant.h"
#include "evenkeel/bench/peers.h"

namespace evenkeel::bench {
namespace {

TEST(BenchConfig, EveryOneIsAnExperiment) {
  Options options;
  options.precision = Precision::kFp32;
  for (const Config& config : configs()) {
    const Experiment e = experiment_of(config, options);
    EXPECT_EQ(e.arch.L(), config.layers);
    EXPECT_EQ(e.arch.family, config.family);
    EXPECT_EQ(e.arch.F(), config.ffn_width);
    EXPECT_EQ(*e.data.vocab, config.vocab);
    EXPECT_EQ(e.train.ops, OpPath::kFused);
    // What a contestant gets is the same experiment.
    EXPECT_EQ(config_hash(experiment_from_json(to_json(e), "test")), config_hash(e));
  }
  EXPECT_THROW(find_config("XL"), InputError);
}

TEST(BenchConfig, TreatmentsAreSettingsOverIt) {
  Options options;
  options.precision = Precision::kFp32;
  const Settings settings = treatment_settings("interventions.qk_norm=per_head,interventions.z_loss=0");
  const Experiment e = experiment_of(find_config("S"), options, settings);
  EXPECT_EQ(e.interventions.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ(e.interventions.z_loss, 0);
  EXPECT_EQ(e.arch.L(), find_config("S").layers);
  EXPECT_THROW(treatment_settings("interventions.qk_norm"), InputError);
  EXPECT_THROW(treatment_settings("interventions.z_loss=0,"), InputError);
  EXPECT_THROW(experiment_of(find_config("S"), options, treatment_settings("interventions.qk=x")),
               InputError);
}

TEST(BenchBatches, TextIsOneBatchOfWholeRows) {
  Options options;
  options.precision = Precision::kFp32;
  const std::vector<data::HostBatch> batches = batches_of(experiment_of(find_config("S"), options));
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].inputs.size(), 16u * 256u);
  EXPECT_EQ(tokens_per_step(batches), 16 * 256);
}

TEST(BenchBatches, PairsAreWhatTrainingReads) {
  Options options;
  options.precision = Precision::kFp32;
  const Experiment e = experiment_of(find_config("mt_tiny"), options);
  const std::vector<data::HostBatch> batches = batches_of(e);
  ASSERT_EQ(batches.size(), 4u);
  double words = 0, rows = 0;
  for (const data::HostBatch& b : batches) {
    EXPECT_LE(b.rows * std::max(b.cols, b.source_cols), e.data.batch_tokens);
    ASSERT_EQ(b.inputs.size(), static_cast<std::size_t>(b.rows * b.cols));
    ASSERT_EQ(b.sources.size(), static_cast<std::size_t>(b.rows * b.source_cols));
    for (std::int64_t row = 0; row < b.rows; ++row) {
      const auto r = static_cast<std::size_t>(row);
      const auto first = static_cast<std::size_t>(row * b.cols);
      const auto length = static_cast<std::size_t>(b.lengths[r]);
      EXPECT_EQ(b.inputs[first], PairIds::kBos);
      EXPECT_EQ(b.targets[first + length - 1], PairIds::kEnd);
      for (std::size_t i = 0; i < static_cast<std::size_t>(b.cols); ++i) {
        EXPECT_EQ(b.targets[first + i] == data::kNoTarget, i >= length);
        EXPECT_EQ(b.inputs[first + i] == PairIds::kPad, i >= length);
      }
      for (std::size_t i = 1; i < length; ++i) EXPECT_EQ(b.inputs[first + i], b.targets[first + i - 1]);
      words += static_cast<double>(b.source_lengths[r]);
    }
    rows += static_cast<double>(b.rows);
  }
  EXPECT_EQ(tokens_per_step(batches) * 4,
            std::accumulate(batches.begin(), batches.end(), 0.0, [](double sum, const data::HostBatch& b) {
              return sum + static_cast<double>(
                               std::accumulate(b.lengths.begin(), b.lengths.end(), std::int64_t{0}));
            }));
  // Batches are equal shares of the tokens, so the four stand at 1/8, 3/8, ... of the lengths weighted by
  // themselves (log-normal, median 14.7 e^0.09): 11.4, 14.6, 17.7, 22.7. A batch's rows fall with its longest
  // sentence, at most as 1 / length, so the mean lies between their harmonic mean 15.6 and their mean 16.6,
  // but for half a token of rounding.
  EXPECT_NEAR(words / rows, 16.1, 1.0);
}

TEST(BenchBars, PassMissAndWhereTheyApply) {
  const Json configs{{"S",
                      {{"precision", "bf16"},
                       {"ops", "fused"},
                       {"ratio", {{"torch_1.13_bf16", 2.5}, {"torch_1.13_fp32", 9.0}}},
                       {"telemetry_overhead", {{"upper95", 1.04}}},
                       {"treatments",
                        {{"interventions.sigma_reparam=on", {{"upper95", 1.05}}},
                         {"interventions.qk_norm=per_head", {{"why", "it failed"}}}}},
                       {"bits", {{"fused", {{"threads", false}, {"telemetry", true}}}}}}}};
  const auto find = [](const Json& all, const std::string& what) {
    for (const Json& bar : all)
      if (bar.at("what") == what) return bar;
    return Json();
  };
  const Json here = bars(configs, {{"amx", true}}), elsewhere = bars(configs, {{"amx", false}});
  EXPECT_EQ(here.size(), 5u);
  EXPECT_EQ(find(here, "sigma-reparam, upper 95 %").at("pass"), true);
  EXPECT_EQ(find(here, "throughput / torch_1.13_bf16").at("pass"), true);
  EXPECT_EQ(find(here, "throughput / torch_1.13_bf16").at("applies"), true);
  EXPECT_EQ(find(elsewhere, "throughput / torch_1.13_bf16").at("applies"), false);
  EXPECT_EQ(find(here, "telemetry, upper 95 %").at("pass"), false);
  EXPECT_EQ(find(elsewhere, "same bits, 1 and 2 threads").at("pass"), false);
  EXPECT_EQ(find(elsewhere, "same bits, 1 and 2 threads").at("applies"), true);
  const Json translation{
      {"mt_tiny", {{"precision", "bf16"}, {"ops", "fused"}, {"ratio", {{"torch_1.13_bf16", 1.4}}}}}};
  const Json bar = bars(translation, {{"amx", false}}).at(0);
  EXPECT_EQ(bar.at("pass"), false);
  EXPECT_EQ(bar.at("applies"), true) << "this bar was not set for AMX";
  const Json collapsed{
      {"collapsed",
       {{"precision", "fp32"},
        {"ops", "plain"},
        {"collapsed", {{"fused_fp32", {{"upper95", 1.2}}}, {"fused_bf16", {{"why", "no bf16"}}}}}}}};
  const Json slow = bars(collapsed, {{"amx", false}});
  EXPECT_EQ(slow.size(), 1u);
  EXPECT_EQ(slow.at(0).at("pass"), false);
  EXPECT_EQ(slow.at(0).at("applies"), true) << "it is measured on its own path";
}

TEST(BenchPeers, WordsAreChecked) {
  EXPECT_EQ(checked_peers({"torch", "torch_fp32_tuned", "x=./x --fast"}).size(), 3u);
  EXPECT_TRUE(checked_peers({"none"}).empty());
  EXPECT_THROW(checked_peers({"torhc"}), InputError);
  EXPECT_THROW(checked_peers({"torch_tuned_fp32"}), InputError);
  EXPECT_THROW(checked_peers({"=x"}), InputError);
}

TEST(Contestant, AnswersLineByLine) {
  Contestant echo({{"cat"}, {}, {}});
  const Json request{{"do", "steps"}, {"text", std::string(20000, 'x')}};
  EXPECT_EQ(echo.ask(request), request);
  EXPECT_EQ(echo.ask({{"a", 1}}), Json({{"a", 1}}));
}

TEST(Contestant, SaysWhyItCannot) {
  const auto why = [](std::vector<std::string> words) -> std::string {
    try {
      Contestant(Command{std::move(words), {{"EVENKEEL_TEST", "value"}}, {}}).ask({{"a", 1}});
    } catch (const ContestantError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(why({"/nowhere/program"}), "cannot execute /nowhere/program: No such file or directory");
  EXPECT_EQ(why({"/bin/sh", "-c", "echo first >&2; echo \"last $EVENKEEL_TEST\" >&2"}), "last value");
  EXPECT_EQ(why({"/bin/sh", "-c", "exit 3"}), "/bin/sh ended with code 3 and said nothing");
  EXPECT_EQ(why({"/bin/sh", "-c", "echo '{\"error\": \"no luck\"}'; read x"}), "no luck");
  EXPECT_NE(why({"/bin/sh", "-c", "echo hello; read x"}).find("no JSON object"), std::string::npos);
  EXPECT_NE(why({"/bin/sh", "-c", "kill -9 $$"}).find("signal 9"), std::string::npos);
}

}  // namespace
}  // namespace evenkeel::bench
