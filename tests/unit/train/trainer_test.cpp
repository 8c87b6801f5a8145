#include "evenkeel/train/trainer.h"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "evenkeel/base/files.h"
#include "evenkeel/curvature/sharpness.h"
#include "evenkeel/data/source.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/load_run.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

void prepare(const fs::path& run, const Settings& more = {}) {
  runs::Manifest m;
  Settings settings{{"arch.width", {16, "test"}},          {"arch.depth", {1, "test"}},
                    {"arch.heads", {2, "test"}},           {"arch.context", {16, "test"}},
                    {"train.batch", {2, "test"}},          {"train.steps", {12, "test"}},
                    {"train.precision", {"fp32", "test"}}, {"optim.warmup", {"3step", "test"}},
                    {"data.valid_tokens", {64, "test"}}};
  for (const auto& [field, setting] : more) settings.insert_or_assign(field, setting);
  m.experiment = experiment_from(settings);
  const DataSpec& data = m.experiment.data;
  resolve(m.experiment, data::facts_for_resolve(*data::open_source(data, m.experiment.arch.context), data),
          false);
  m.config_hash = config_hash(m.experiment);
  make_folder(run);
  runs::write_manifest(run, m);
}

TEST(Trainer, GoesOnFromACheckpointThatKnowsNoRelapses) {
  const test::TempFolder folder;
  const fs::path whole = folder / "whole", old = folder / "old";
  for (const fs::path& run : {whole, old}) prepare(run);
  EXPECT_EQ(run(whole, {}), Outcome::kFinished);
  int steps = 0;
  EXPECT_EQ(run(old, {.stop_requested = [&] { return ++steps == 5; }}), Outcome::kInterrupted);
  const fs::path checkpoint = runs::list_checkpoints(old).at(0);
  runs::CheckpointState state = runs::read_checkpoint_state(checkpoint);
  state.detectors.erase("relapse");
  const auto bytes = [](const runs::Safetensors& saved) {
    std::vector<runs::TensorBytes> all;
    for (const auto& [name, tensor] : saved.tensors)
      all.push_back({name, tensor.type, tensor.shape, tensor.data});
    return all;
  };
  const runs::Safetensors model = runs::read_model(checkpoint), optim = runs::read_optim(checkpoint);
  runs::write_checkpoint(old, state, bytes(model), bytes(optim));
  EXPECT_EQ(run(old, {}), Outcome::kFinished);
  for (const char* file : {"metrics.jsonl", "heads.jsonl", "events.jsonl"})
    EXPECT_EQ(read_file(whole / file), read_file(old / file)) << file;
}

std::vector<Json> heads_of(const fs::path& run) {
  return runs::read_records(run / "heads.jsonl");
}

// A model that never moves gives the same numbers at every look; one that trains does not.
TEST(Trainer, TheProbeBatchIsTheSameAtEveryStep) {
  const test::TempFolder folder;
  const fs::path still = folder / "still", moving = folder / "moving", off = folder / "off";
  const Settings probe{{"telemetry.probe_every", {4, "test"}}};
  Settings frozen = probe;
  frozen["optim.lr"] = {1e-30, "test"};
  for (const char* none : {"optim.lr_floor", "optim.weight_decay"}) frozen[none] = {0, "test"};
  prepare(still, frozen);
  prepare(moving, probe);
  prepare(off);
  for (const fs::path& one : {still, moving, off}) ASSERT_EQ(run(one, {}), Outcome::kFinished);
  const auto looks = [](const fs::path& one) {
    std::vector<Json> found;
    for (const Json& record : heads_of(one))
      if (record.contains("probe/layer00/logit_max")) found.push_back(record);
    return found;
  };
  const auto same = looks(still), other = looks(moving);
  ASSERT_EQ(same.size(), 4u) << "steps 1, 4, 8 and 12";
  EXPECT_EQ(same[3].at("step"), 12);
  for (const char* key : {"probe/layer00/logit_max", "probe/layer00/logit_rms", "probe/layer00/entropy",
                          "probe/out/logit_max"}) {
    for (const Json& look : same) EXPECT_EQ(look.at(key), same[0].at(key)) << key;
    EXPECT_NE(other[3].at(key), other[0].at(key)) << key;
  }
  EXPECT_TRUE(looks(off).empty());
  // Looking changes no bit of the training.
  EXPECT_EQ(read_file(moving / "metrics.jsonl"), read_file(off / "metrics.jsonl"));
}

TEST(Trainer, SharpnessIsThatOfTheProbe) {
  const test::TempFolder folder;
  const fs::path one = folder / "run", off = folder / "off";
  prepare(one, {{"telemetry.sharpness_every", {6, "test"}}});
  prepare(off);
  ASSERT_EQ(run(one, {}), Outcome::kFinished);
  ASSERT_EQ(run(off, {}), Outcome::kFinished);
  std::vector<std::int64_t> steps;
  Json last;
  for (const Json& record : heads_of(one)) {
    if (!record.contains("curvature/all/sharpness")) continue;
    steps.push_back(record.at("step"));
    last = record;
  }
  EXPECT_EQ(steps, (std::vector<std::int64_t>{1, 6, 12}));
  EXPECT_EQ(read_file(one / "metrics.jsonl"), read_file(off / "metrics.jsonl")) << "it changes no bit";
  LoadedRun loaded = load_run(one, std::nullopt);
  const Experiment& e = loaded.manifest.experiment;
  const auto optimiser = load_optimiser(loaded);
  const auto source = open_same_data(e, one);
  nn::Context context = pass_context(e, 12);
  context.ops = OpPath::kPlain;
  const auto again = curvature::sharpness_of(*loaded.model, probe_batch(*source, e).first(8), context,
                                             *optimiser, e.optim, 40);
  EXPECT_EQ(last.at("curvature/all/sharpness"), again.hessian.value);
  EXPECT_EQ(last.at("curvature/all/sharpness_preconditioned"), again.preconditioned->value);
  EXPECT_GT(last.at("curvature/all/edge_ratio"), 0);
}

TEST(Trainer, BlocksSayTheirGradientBeforeAndAfterClipping) {
  const test::TempFolder folder;
  const fs::path one = folder / "run";
  prepare(one, {{"optim.clip_norm", {0.01, "test"}}});
  ASSERT_EQ(run(one, {}), Outcome::kFinished);
  const Json record = heads_of(one).at(0);
  const Json metrics = runs::read_records(one / "metrics.jsonl").at(1);
  const double factor =
      metrics.at("grad/all/norm_clipped").get<double>() / metrics.at("grad/all/norm").get<double>();
  ASSERT_LT(factor, 0.1);
  const double before = record.at("block/layer00/grad_rms"),
               after = record.at("block/layer00/grad_rms_clipped");
  EXPECT_NEAR(after / before, factor, 1e-6 * factor);  // both from fp32 gradients
  EXPECT_EQ(record.at("attn/all/collapsed"), 0);
  EXPECT_TRUE(record.contains("attn/layer00/logit_q999"));
  EXPECT_LE(record.at("attn/layer00/logit_q999").at(0), record.at("attn/layer00/logit_max").at(0));
}

// Half a deviation skips many of the steps that may be.
TEST(Trainer, SkippedStepsChangeNothingAndAreCountedOverAResume) {
  const test::TempFolder folder;
  const fs::path whole = folder / "whole", stopped = folder / "stopped";
  for (const fs::path& run : {whole, stopped})
    prepare(run, {{"train.steps", {90, "test"}}, {"optim.skip_step", {0.5, "test"}}});
  EXPECT_EQ(run(whole, {}), Outcome::kFinished);
  int steps = 0;
  EXPECT_EQ(run(stopped, {.stop_requested = [&] { return ++steps == 80; }}), Outcome::kInterrupted);
  EXPECT_EQ(run(stopped, {}), Outcome::kFinished);
  for (const char* file : {"metrics.jsonl", "heads.jsonl", "events.jsonl", "result.json"})
    EXPECT_EQ(read_file(whole / file), read_file(stopped / file)) << file;
  std::int64_t skipped = 0;
  std::istringstream events(read_file(whole / "events.jsonl"));
  for (std::string line; std::getline(events, line);)
    if (Json::parse(line).at("kind") == "step_skipped") ++skipped;
  EXPECT_GT(skipped, 0);
  const LoadedRun loaded = load_run(whole, std::nullopt);
  EXPECT_EQ(loaded.step, 90);
  EXPECT_EQ(loaded.updates, 90 - skipped);
}

// Past the steps in which AdaGC (100) and ZClip (25) only learn, stopped on either side of that.
TEST(Trainer, AdaptiveClippingGoesOnAfterAResume) {
  for (const char* kind : {"zclip", "adagc"})
    for (const int at : {20, 110}) {
      SCOPED_TRACE(kind);
      const test::TempFolder folder;
      const fs::path whole = folder / "whole", stopped = folder / "stopped";
      for (const fs::path& run : {whole, stopped})
        prepare(run, {{"train.steps", {125, "test"}}, {"optim.adaptive_clip", {kind, "test"}}});
      EXPECT_EQ(run(whole, {}), Outcome::kFinished);
      int steps = 0;
      EXPECT_EQ(run(stopped, {.stop_requested = [&] { return ++steps == at; }}), Outcome::kInterrupted);
      EXPECT_EQ(run(stopped, {}), Outcome::kFinished);
      for (const char* file : {"metrics.jsonl", "heads.jsonl", "events.jsonl", "result.json"})
        EXPECT_EQ(read_file(whole / file), read_file(stopped / file)) << file;
    }
}

}  // namespace
}  // namespace evenkeel::train
