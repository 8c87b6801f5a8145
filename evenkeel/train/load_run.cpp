#include "evenkeel/train/load_run.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/state.h"
#include "evenkeel/train/step.h"

namespace evenkeel::train {
namespace {

std::filesystem::path find_checkpoint(const std::filesystem::path& run, std::optional<std::int64_t> step,
                                      std::vector<std::string>& warnings) {
  if (!step) {
    if (const auto found = runs::find_latest_checkpoint(run, warnings)) return found->folder;
    throw InputError(fmt::format("{} holds no whole checkpoint; train it first", run.string()));
  }
  std::vector<std::string> names;
  for (const auto& folder : runs::list_checkpoints(run)) names.push_back(folder.filename().string());
  const std::string name = fmt::format("step{:08}", *step);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw InputError(
        fmt::format("{} holds no checkpoint of step {}, only {}; train.checkpoint_every and "
                    "train.keep_checkpoints decide "
                    "which are kept",
                    run.string(), *step, names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
  }
  return run / "checkpoints" / name;
}

/// The step of a checkpoint that is whole and belongs to the run.
runs::CheckpointState checked_state(const std::filesystem::path& checkpoint, const runs::Manifest& manifest) {
  const runs::CheckpointState state = runs::read_checkpoint_state(checkpoint);
  if (state.config_hash != manifest.config_hash) {
    throw InputError(fmt::format("{} belongs to configuration {}, the manifest says {}", checkpoint.string(),
                                 state.config_hash, manifest.config_hash));
  }
  return state;
}

void average_parameters(const std::filesystem::path& run, LoadedRun& loaded, std::int64_t count) {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::filesystem::path> before = runs::list_checkpoints(run);
  before.erase(std::find(before.begin(), before.end(), loaded.checkpoint), before.end());
  if (std::ssize(before) < count - 1) {
    throw InputError(
        fmt::format("{} holds {} checkpoints up to step {}, fewer than the {} to average; set "
                    "train.keep_checkpoints and train.checkpoint_every before training",
                    run.string(), before.size() + 1, loaded.step, count));
  }
  std::vector<at::Tensor> sums;
  const std::vector<nn::Param*> parameters = loaded.model->parameters();
  for (const nn::Param* p : parameters) sums.push_back(p->value.to(at::kDouble));
  const auto other = build_model(loaded.manifest.experiment);
  const std::vector<nn::Param*> others = other->parameters();
  for (auto at = before.end() - (count - 1); at != before.end(); ++at) {
    checked_state(*at, loaded.manifest);
    load_model(*at, *other);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += others[i]->value;
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    parameters[i]->value.copy_(sums[i] / static_cast<double>(count));
}

}  // namespace

std::int64_t updates_of(const runs::CheckpointState& state) {
  return state.trainer.value("updates", state.step);
}

LoadedRun load_run(const std::filesystem::path& run, std::optional<std::int64_t> step, std::int64_t average) {
  LoadedRun loaded;
  loaded.manifest = runs::read_manifest(run);
  if (loaded.manifest.imported) {
    throw InputError(fmt::format("{} was imported from {} and holds numbers only, no weights", run.string(),
                                 loaded.manifest.imported->source));
  }
  loaded.checkpoint = find_checkpoint(run, step, loaded.warnings);
  const runs::CheckpointState state = checked_state(loaded.checkpoint, loaded.manifest);
  loaded.step = state.step;
  loaded.updates = updates_of(state);
  loaded.model = build_model(loaded.manifest.experiment);
  load_model(loaded.checkpoint, *loaded.model);
  if (average > 1) average_parameters(run, loaded, average);
  return loaded;
}

std::unique_ptr<optim::Optimiser> load_optimiser(const LoadedRun& loaded) {
  const Experiment& e = loaded.manifest.experiment;
  auto optimiser = optim::make_optimiser(loaded.model->parameters(), e.optim);
  load_optimiser(loaded.checkpoint, *optimiser);
  optimiser->set_steps(loaded.updates);
  optimiser->set_eps(eps_of(e, loaded.step));
  return optimiser;
}

std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& run) {
  std::vector<std::int64_t> steps;
  for (const auto& folder : runs::list_checkpoints(run))
    steps.push_back(std::stoll(folder.filename().string().substr(4)));
  return steps;
}

std::unique_ptr<data::Source> open_same_data(const Experiment& e, const std::filesystem::path& run) {
  auto source = data::open_source(e.data, e.arch.context);
  if (source->fingerprint() != *e.data.fingerprint) {
    throw InputError(
        fmt::format("the data{} changed since {} was made: fingerprint {}, expected {}; restore the file or "
                    "start a new run in another --out",
                    e.data.path ? " in " + *e.data.path : std::string(), run.string(), source->fingerprint(),
                    *e.data.fingerprint));
  }
  return source;
}

}  // namespace evenkeel::train
