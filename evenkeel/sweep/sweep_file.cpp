#include "evenkeel/sweep/sweep_file.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/processor.h"
#include "evenkeel/base/version.h"
#include "evenkeel/runs/json_fields.h"
#include "evenkeel/runs/run_writer.h"
#include "evenkeel/sweep/journal.h"

namespace evenkeel::sweep {
namespace {

constexpr int kFormat = 1;
constexpr std::array kStates{std::pair{CellState::kPending, "pending"},
                             std::pair{CellState::kRunning, "running"}, std::pair{CellState::kDone, "done"},
                             std::pair{CellState::kCrashed, "crashed"},
                             std::pair{CellState::kInterrupted, "interrupted"}};

CellState state_in(const std::string& name, const fs::path& file) {
  if (const auto state = state_from(name)) return *state;
  std::string known;
  for (const auto& [state, text] : kStates) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", text);
  }
  throw InputError(
      fmt::format("{}: the state of a cell must be one of {}, got \"{}\"; the cells are whole: remove this "
                  "file and run the same command again",
                  file.string(), known, name));
}

CellEntry entry_from(const Json& json, const fs::path& file) {
  CellEntry entry;
  entry.hash = json.at("hash");
  if (!is_config_hash(entry.hash)) {
    throw InputError(
        fmt::format("{}: the hash of a cell must be 16 hexadecimal digits, got {}; the cells are whole: "
                    "remove this file and run the same command again",
                    file.string(), excerpt(entry.hash)));
  }
  entry.arm = json.at("arm");
  entry.size = json.at("size");
  entry.lr = json.at("lr");
  entry.seed = integer_from_json(json.at("seed"), "seed");
  entry.params = integer_from_json(json.at("params"), "params");
  entry.round = static_cast<int>(integer_from_json(json.value("round", Json(0)), "round"));
  entry.state = state_in(json.at("state"), file);
  entry.label = json.value("label", "");
  entry.attempts = integer_from_json(json.at("attempts"), "attempts");
  entry.message = json.value("message", "");
  return entry;
}

Json entry_json(const CellEntry& entry) {
  Json json{{"hash", entry.hash},         {"arm", entry.arm},
            {"size", entry.size},         {"lr", entry.lr},
            {"seed", entry.seed},         {"params", entry.params},
            {"attempts", entry.attempts}, {"state", std::string(state_name(entry.state))}};
  if (entry.round > 0) json["round"] = entry.round;
  if (!entry.label.empty()) json["label"] = entry.label;
  if (!entry.message.empty()) json["message"] = entry.message;
  return json;
}

Json environment_now() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  Json environment{{"host", host.data()},
                   {"processor", processor_name()},
                   {"prepared", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
  return environment;
}

/// Why the run in `folder` cannot be read; "" when it can, or there is none.
std::string damage_of(const fs::path& folder) {
  try {
    if (fs::exists(folder / "manifest.json")) runs::read_manifest(folder);
    runs::read_result(folder);
    return "";
  } catch (const runs::NewerFormat&) {
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

/// Moves the folder of a damaged cell away, and says so.
std::string set_aside(const fs::path& sweep, const std::string& hash, const std::string& damage) {
  const fs::path folder = cell_folder(sweep, hash), all = sweep / "damaged";
  make_folder(all);
  fs::path kept = all / hash;
  for (int n = 2; fs::exists(kept); ++n) kept = all / fmt::format("{}.{}", hash, n);
  std::error_code error;
  fs::rename(folder, kept, error);
  if (error) throw EnvironmentError(explain_errno("write", kept, error.value()));
  sync_folder(all);
  sync_folder(folder.parent_path());
  return fmt::format("{}; its folder is kept as {}", damage, kept.string());
}

void refuse_foreign(const fs::path& run) {
  for (const char* name : {"metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl", "summary.jsonl",
                           "result.json", "log.txt", "checkpoints"}) {
    if (!fs::exists(fs::symlink_status(run / name))) continue;
    throw InputError(
        fmt::format("{} is there, and no run wrote it (there is no manifest.json beside it); it would be "
                    "replaced: choose another --out, or move it away",
                    (run / name).string()));
  }
}

}  // namespace

std::string_view state_name(CellState state) {
  for (const auto& [value, text] : kStates)
    if (value == state) return text;
  return "?";
}

std::optional<CellState> state_from(std::string_view name) {
  for (const auto& [value, text] : kStates)
    if (name == text) return value;
  return std::nullopt;
}

fs::path cell_folder(const fs::path& sweep, const std::string& hash) {
  return sweep / "cells" / hash;
}

SweepFile start_sweep_file(const Plan& plan, const fs::path& sweep, const std::optional<SweepFile>& before) {
  SweepFile file;
  file.study = plan.study;
  for (const Axis& axis : plan.axes) file.axes[axis.name] = to_json(axis);
  std::map<std::string, std::int64_t> attempts;
  if (before) {
    for (const CellEntry& entry : before->cells) attempts[entry.hash] = entry.attempts;
  }
  for (const Cell& cell : plan.cells) {
    add_entry(file, cell, sweep);
    file.cells.back().attempts = attempts[cell.hash];
  }
  return file;
}

void add_entry(SweepFile& file, const Cell& cell, const fs::path& sweep) {
  CellEntry entry;
  entry.hash = cell.hash;
  entry.arm = cell.arm;
  entry.size = cell.experiment.arch.size.value_or("");
  entry.lr = cell.experiment.optim.lr;
  entry.seed = cell.experiment.train.seed;
  entry.params = cell.experiment.arch.params();
  entry.round = cell.round;
  const fs::path run = cell_folder(sweep, cell.hash);
  if (const std::string damage = damage_of(run); !damage.empty() && !runs::is_being_written(run))
    entry.message = set_aside(sweep, cell.hash, damage);
  if (const auto result = runs::read_result(run)) {
    entry.state = CellState::kDone;
    entry.label = result->label;
    fs::remove(run / "log.txt");
  }
  file.cells.push_back(std::move(entry));
}

std::optional<SweepFile> read_sweep_file(const fs::path& sweep) {
  const fs::path path = sweep / "sweep.json";
  if (!fs::exists(path)) return std::nullopt;
  const Json json = read_json(path);
  const auto refuse = [&](const char* what) {
    throw InputError(
        fmt::format("{} is damaged: {}; the cells are whole: remove this file and run the same command again",
                    path.string(), what));
  };
  try {
    if (json.at("format") > kFormat) {
      throw InputError(
          fmt::format("{} is of format {}, this evenkeel {} reads up to {}; use a newer evenkeel",
                      path.string(), json.at("format").dump(), kVersion, kFormat));
    }
    SweepFile file;
    bind(file.study, settings_from_json(json.at("study"), path.string()));
    file.axes = json.at("axes");
    for (const Json& cell : json.at("cells")) file.cells.push_back(entry_from(cell, path));
    file.notes = json.at("notes").get<std::vector<std::string>>();
    if (!runs::seal_holds(json)) refuse("its checksum does not match");
    replay_journals(sweep, file);
    return file;
  } catch (const Json::exception&) {
    refuse("a key is missing or of the wrong type");
  }
  return std::nullopt;
}

void write_sweep_file(const fs::path& sweep, const SweepFile& file) {
  Json cells = Json::array();
  for (const CellEntry& entry : file.cells) {
    if (!entry.dropped) cells.push_back(entry_json(entry));
  }
  Json document{{"format", kFormat}, {"evenkeel", kVersion}, {"study", to_json(file.study)},
                {"axes", file.axes}, {"cells", cells},       {"notes", file.notes}};
  runs::seal(document);
  write_json(sweep / "sweep.json", document);
}

std::vector<std::string> strangers(const fs::path& sweep, const SweepFile& file) {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& item : fs::directory_iterator(sweep / "cells", absent)) {
    const std::string name = item.path().filename().string();
    const bool known = std::any_of(file.cells.begin(), file.cells.end(),
                                   [&](const CellEntry& entry) { return entry.hash == name; });
    if (!known) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void prepare_run(const fs::path& run, const Cell& cell) {
  if (fs::exists(run / "manifest.json")) {
    runs::Manifest found = runs::read_manifest(run);
    if (found.config_hash != cell.hash) {
      throw InputError(
          fmt::format("{} holds a run of another configuration ({}, this one is {}); choose another --out, "
                      "or repeat that run's settings",
                      run.string(), found.config_hash, cell.hash));
    }
    // The same data may have moved since; its fingerprint is in the hash.
    const DataSpec& data = cell.experiment.data;
    const auto place = [](const std::optional<std::string>& path) {
      return path ? fs::absolute(*path).lexically_normal() : fs::path();
    };
    const DataSpec& then = found.experiment.data;
    const bool same_place =
        place(then.path) == place(data.path) && place(then.valid_path) == place(data.valid_path);
    if (same_place || fs::exists(run / "result.json")) return;
    found.experiment = cell.experiment;
    found.environment.update(environment_now());
    runs::write_manifest(run, found);
    return;
  }
  refuse_foreign(run);
  make_folder(run);
  const Json versions{{"evenkeel", kVersion}, {"format", kFormat}};
  runs::write_manifest(run, {cell.experiment, cell.hash, cell.arm, cell.data, versions, environment_now()});
}

}  // namespace evenkeel::sweep
