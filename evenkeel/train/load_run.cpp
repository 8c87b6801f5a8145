#include "evenkeel/train/load_run.h"

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

std::filesystem::path find_checkpoint(const std::filesystem::path& run, std::optional<std::int64_t> step) {
  if (!step) {
    std::vector<std::string> passed_over;
    if (const auto found = runs::find_latest_checkpoint(run, passed_over)) return found->folder;
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

}  // namespace

LoadedRun load_run(const std::filesystem::path& run, std::optional<std::int64_t> step) {
  LoadedRun loaded;
  loaded.manifest = runs::read_manifest(run);
  if (loaded.manifest.imported) {
    throw InputError(fmt::format("{} was imported from {} and holds numbers only, no weights", run.string(),
                                 loaded.manifest.imported->source));
  }
  loaded.checkpoint = find_checkpoint(run, step);
  const runs::CheckpointState state = runs::read_checkpoint_state(loaded.checkpoint);
  if (state.config_hash != loaded.manifest.config_hash) {
    throw InputError(fmt::format("{} belongs to configuration {}, the manifest says {}",
                                 loaded.checkpoint.string(), state.config_hash, loaded.manifest.config_hash));
  }
  loaded.step = state.step;
  loaded.model = build_model(loaded.manifest.experiment);
  load_model(loaded.checkpoint, *loaded.model);
  return loaded;
}

std::unique_ptr<optim::Optimiser> load_optimiser(const LoadedRun& loaded) {
  const Experiment& e = loaded.manifest.experiment;
  auto optimiser = optim::make_optimiser(loaded.model->parameters(), e.optim);
  load_optimiser(loaded.checkpoint, *optimiser);
  optimiser->set_steps(loaded.step);
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
