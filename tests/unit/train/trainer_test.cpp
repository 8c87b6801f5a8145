#include "evenkeel/train/trainer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "evenkeel/base/files.h"
#include "evenkeel/data/source.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/manifest.h"
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
