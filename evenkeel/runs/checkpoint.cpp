#include "evenkeel/runs/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/json_fields.h"

namespace evenkeel::runs {
namespace {

constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptim = "optim.safetensors";
constexpr const char* kTelemetry = "telemetry.safetensors";
constexpr const char* kState = "state.json";

fs::path folder_of(const fs::path& run) {
  return run / "checkpoints";
}
std::string name_of(std::int64_t step) {
  return fmt::format("step{:08}", step);
}

// The step of "step00000300"; -1 for other names.
std::int64_t step_of(const std::string& name) {
  const bool digits =
      name.size() >= 12 && name.size() <= 22 && name.starts_with("step") &&
      std::all_of(name.begin() + 4, name.end(), [](unsigned char c) { return std::isdigit(c); });
  return digits ? std::stoll(name.substr(4)) : -1;
}

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) throw EnvironmentError(explain_errno("delete", folder, error.value()));
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw EnvironmentError(explain_errno("write", to, error.value()));
}

Json state_to_json(const CheckpointState& s, const fs::path& folder) {
  Json document = {
      {"step", s.step},
      {"cursor", s.cursor},
      {"config_hash", s.config_hash},
      {"rng", {{"kind", s.rng_kind}, {"seed", s.seed}}},
      {"schedule", s.schedule},
      {"offsets", {{"metrics", s.offsets.metrics}, {"heads", s.offsets.heads}, {"events", s.offsets.events}}},
      {"detectors", s.detectors},
      {"trainer", s.trainer},
      {"files", {{kModel, file_hash(folder / kModel)}, {kOptim, file_hash(folder / kOptim)}}}};
  if (fs::exists(folder / kTelemetry)) document["files"][kTelemetry] = file_hash(folder / kTelemetry);
  document["hash"] = content_hash(json_text(document));
  return document;
}

[[noreturn]] void damaged(const fs::path& file, const std::string& fact) {
  throw InputError(
      fmt::format("{} is damaged: {}; delete its checkpoint folder and run again to go on from an older one",
                  file.string(), fact));
}

std::uint64_t offset(const JsonFields& offsets, const char* key, const fs::path& file) {
  const std::int64_t value = offsets.integer(key);
  if (value < 0) damaged(file, "a negative offset");
  return static_cast<std::uint64_t>(value);
}

CheckpointState state_from_json(const Json& document, const fs::path& file) {
  const JsonFields fields(document, file.string());
  const JsonFields rng(fields.object("rng"), file.string()), offsets(fields.object("offsets"), file.string());
  CheckpointState s;
  s.step = fields.integer("step");
  s.cursor = fields.integer("cursor");
  s.config_hash = fields.text("config_hash");
  s.rng_kind = rng.text("kind");
  s.seed = rng.integer("seed");
  s.schedule = fields.at("schedule");
  s.offsets = {offset(offsets, "metrics", file), offset(offsets, "heads", file),
               offset(offsets, "events", file)};
  s.detectors = fields.at("detectors");
  s.trainer = fields.at("trainer");
  return s;
}

}  // namespace

fs::path write_checkpoint(const fs::path& run, const CheckpointState& state, std::vector<TensorBytes> model,
                          std::vector<TensorBytes> optim, std::vector<TensorBytes> telemetry) {
  const fs::path all = folder_of(run);
  const fs::path target = all / name_of(state.step);
  const fs::path partial = target.string() + ".part", old = target.string() + ".old";
  remove_folder(partial);
  make_folder(partial);
  try {
    write_safetensors(partial / kModel, std::move(model));
    write_safetensors(partial / kOptim, std::move(optim));
    if (!telemetry.empty()) write_safetensors(partial / kTelemetry, std::move(telemetry));
    write_json(partial / kState, state_to_json(state, partial));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw;
  }
  std::error_code error;
  const bool replaces = fs::exists(target, error);
  if (replaces) {
    remove_folder(old);
    rename_folder(target, old);
  }
  rename_folder(partial, target);
  sync_folder(all);
  sync_folder(run);
  if (replaces) remove_folder(old);
  return target;
}

CheckpointState read_checkpoint_state(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kState;
  const Json document = read_json(file);
  const JsonFields fields(document, file.string());
  Json rest = document;
  rest.erase("hash");
  if (content_hash(json_text(rest)) != fields.text("hash")) damaged(file, "its content hash does not match");
  const JsonFields files(fields.object("files"), file.string());
  for (const char* name : {kModel, kOptim, kTelemetry}) {
    if (name == kTelemetry && !files.has(name)) continue;
    if (file_hash(checkpoint / name) != files.text(name)) {
      damaged(checkpoint / name, "its content hash does not match");
    }
  }
  return state_from_json(document, file);
}

Safetensors read_model(const fs::path& checkpoint) {
  return read_safetensors(checkpoint / kModel);
}
Safetensors read_optim(const fs::path& checkpoint) {
  return read_safetensors(checkpoint / kOptim);
}

std::optional<Safetensors> read_telemetry(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / kTelemetry)) return std::nullopt;
  return read_safetensors(checkpoint / kTelemetry);
}

std::vector<fs::path> list_checkpoints(const fs::path& run) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator it(folder_of(run), error), end; !error && it != end; it.increment(error)) {
    const std::int64_t step = step_of(it->path().filename().string());
    if (step >= 0) found.emplace_back(step, it->path());
  }
  std::sort(found.begin(), found.end());
  std::vector<fs::path> folders;
  for (auto& [step, folder] : found) folders.push_back(std::move(folder));
  return folders;
}

void restore_replaced(const fs::path& run) {
  std::error_code error;
  std::vector<fs::path> replaced;
  for (fs::directory_iterator it(folder_of(run), error), end; !error && it != end; it.increment(error)) {
    const fs::path& folder = it->path();
    if (folder.extension() == ".old" && step_of(folder.stem().string()) >= 0) replaced.push_back(folder);
  }
  for (const fs::path& folder : replaced) {
    const fs::path target = folder.parent_path() / folder.stem();
    if (!fs::exists(target, error)) rename_folder(folder, target);
  }
}

std::optional<FoundCheckpoint> find_latest_checkpoint(const fs::path& run,
                                                      std::vector<std::string>& warnings) {
  auto folders = list_checkpoints(run);
  std::reverse(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    try {
      return FoundCheckpoint{folder, read_checkpoint_state(folder)};
    } catch (const std::runtime_error& e) {
      warnings.push_back(fmt::format("passing over checkpoint {}: {}", folder.filename().string(), e.what()));
    }
  }
  return std::nullopt;
}

void prune_checkpoints(const fs::path& run, std::int64_t keep) {
  const auto folders = list_checkpoints(run);
  const std::size_t kept = static_cast<std::size_t>(std::max<std::int64_t>(keep, 1));
  for (std::size_t i = 0; i + kept < folders.size(); ++i) remove_folder(folders[i]);
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(folder_of(run), error), end; !error && it != end; it.increment(error)) {
    const std::string extension = it->path().extension().string();
    if (extension == ".part" || extension == ".old") leftovers.push_back(it->path());
  }
  for (const fs::path& folder : leftovers) remove_folder(folder);
}

void discard_checkpoints_after(const fs::path& run, std::int64_t step) {
  for (const fs::path& folder : list_checkpoints(run)) {
    if (step_of(folder.filename().string()) > step) remove_folder(folder);
  }
}

}  // namespace evenkeel::runs
