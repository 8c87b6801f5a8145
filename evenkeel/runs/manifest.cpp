#include "evenkeel/runs/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <system_error>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/utf8.h"
#include "evenkeel/base/version.h"
#include "evenkeel/runs/json_fields.h"

namespace evenkeel::runs {
namespace {

// In the structs NaN stands for what is not known.
Json known(double value) {
  return std::isnan(value) ? Json(nullptr) : Json(value);
}

Json data_to_json(const DataRecord& data) {
  return {{"name", data.name},
          {"h1", known(data.h1)},
          {"bigram_entropy", known(data.bigram_entropy)},
          {"floor", known(data.floor)},
          {"train_tokens", data.train_tokens}};
}

DataRecord data_from_json(const Json& document, const std::string& where) {
  const JsonFields fields(document, where);
  DataRecord data;
  data.name = fields.text("name");
  data.h1 = fields.number_or_unknown("h1");
  data.bigram_entropy = fields.number_or_unknown("bigram_entropy");
  data.floor = fields.number_or_unknown("floor");
  data.train_tokens = fields.integer("train_tokens");
  return data;
}

Json imported_to_json(const Imported& imported) {
  return {{"source", imported.source}, {"arm", imported.arm},      {"size", imported.size},
          {"params", imported.params}, {"lr", known(imported.lr)}, {"seed", imported.seed}};
}

Imported imported_from_json(const Json& document, const std::string& where) {
  const JsonFields fields(document, where);
  Imported imported;
  imported.source = fields.text("source");
  imported.arm = fields.text("arm");
  imported.size = fields.text("size");
  imported.params = fields.integer("params");
  imported.lr = fields.number_or_unknown("lr");
  imported.seed = fields.integer("seed");
  return imported;
}

struct PathField {
  const char* setting;  // in config.data
  const char* place;    // in environment
};
constexpr std::array kPathFields{PathField{"path", "data_path"}, PathField{"valid_path", "valid_path"}};

std::string absolute(const std::string& path) {
  const std::string whole = fs::absolute(path).lexically_normal().string();
  return first_invalid_utf8(whole) == std::string::npos ? whole : path;  // JSON holds UTF-8 only
}

void move_paths_out(Json& data, Json& environment) {
  for (const auto& [setting, place] : kPathFields) {
    environment.erase(place);
    if (data[setting] != "auto") environment[place] = absolute(data[setting].get<std::string>());
    data.erase(setting);
  }
}

Experiment experiment_from_manifest(const Json& config, const Json& environment, const std::string& file) {
  Settings settings = settings_from_json(config, file);
  const JsonFields fields(environment, file);
  for (const auto& [setting, place] : kPathFields) {
    if (fields.has(place)) settings[std::string("data.") + setting] = {fields.text(place), file};
  }
  return experiment_from(settings);
}

// The hash of the configuration as it stands in the file: fields that a later version adds do not make runs
// of this one look changed.
std::string hash_as_written(const Json& config) {
  Json identity = config;
  keep_identity<Experiment>(identity);
  return content_hash(identity.dump()).substr(0, 16);
}

void check_format(const Json& versions, const std::string& file) {
  const JsonFields fields(versions, file);
  if (!fields.has("format") || fields.integer("format") <= kManifestFormat) return;
  throw NewerFormat(fmt::format("{} is of format {}, this evenkeel {} reads up to {}; use a newer evenkeel",
                                file, fields.integer("format"), kVersion, kManifestFormat));
}

void check_seal(const Json& document, const std::string& file, const char* apart = "") {
  if (seal_holds(document, apart)) return;
  throw InputError(
      fmt::format("{} was changed after it was written: its checksum does not match; restore the file, or "
                  "delete the run and run again",
                  file));
}

// Of the manifest: what may differ between equal runs, so that the checksum does not. It has one of its own.
constexpr const char* kApart = "environment";

}  // namespace

void write_manifest(const fs::path& run, const Manifest& manifest) {
  Json document = {{"config_hash", manifest.config_hash},
                   {"arm", manifest.arm},
                   {"data", data_to_json(manifest.data)},
                   {"versions", manifest.versions},
                   {"environment", manifest.environment}};
  if (manifest.imported) {
    document["imported"] = imported_to_json(*manifest.imported);
  } else {
    document["config"] = to_json(manifest.experiment);
    move_paths_out(document["config"]["data"], document["environment"]);
  }
  seal(document[kApart]);
  seal(document, kApart);
  write_json(run / "manifest.json", document);
}

Manifest read_manifest(const fs::path& run) {
  const fs::path file = run / "manifest.json";
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    throw InputError(run.string() +
                     " is not a run (it has no manifest.json); `evenkeel ls` lists the runs in a folder");
  }
  const Json document = read_json(file);
  const JsonFields fields(document, file.string());
  Manifest manifest;
  manifest.versions = fields.object("versions");
  check_format(manifest.versions, file.string());
  manifest.config_hash = fields.text("config_hash");
  manifest.arm = fields.text("arm");
  manifest.data = data_from_json(fields.object("data"), file.string());
  manifest.environment = fields.object(kApart);
  unseal(manifest.environment);
  if (fields.has("imported")) {
    manifest.imported = imported_from_json(fields.object("imported"), file.string());
  } else {
    const Json& config = fields.object("config");
    manifest.experiment = experiment_from_manifest(config, manifest.environment, file.string());
    if (const std::string hash = hash_as_written(config); hash != manifest.config_hash) {
      throw InputError(
          fmt::format("{} was changed after the run was made: its [config] has hash {}, [config_hash] says "
                      "{}; restore the "
                      "file, or delete the run and start one with the settings you want",
                      file.string(), hash, manifest.config_hash));
    }
  }
  check_seal(document, file.string(), kApart);
  return manifest;
}

void check_environment(const fs::path& run) {
  const fs::path file = run / "manifest.json";
  const Json document = read_json(file);
  if (seal_holds(JsonFields(document, file.string()).object(kApart))) return;
  throw InputError(
      fmt::format("the environment in {} was changed after it was written: its checksum does not match; it "
                  "decides nothing of "
                  "the run, but paths of the data may lead elsewhere",
                  file.string()));
}

std::string label_of(std::optional<std::int64_t> nonfinite_step, double final_loss, double h1) {
  if (nonfinite_step || !std::isfinite(final_loss)) return "nonfinite";
  return final_loss >= h1 - kNotLearnedMargin ? "not_learned" : "finished";
}

Json result_json(const Result& result) {
  Json document = {{"label", result.label},
                   {"steps", result.steps},
                   {"seen_tokens", result.seen_tokens},
                   {"final_loss", result.final_loss},
                   {"train_loss", known(result.train_loss)},
                   {"l0", known(result.l0)},
                   {"relapsed", result.relapsed},
                   {"digest", result.digest}};
  if (result.nonfinite_step) document["nonfinite_step"] = *result.nonfinite_step;
  if (result.relapse_step) document["relapse_step"] = *result.relapse_step;
  return document;
}

void write_result(const fs::path& run, const Result& result) {
  Json document = result_json(result);
  seal(document);
  write_json(run / "result.json", document);
}

std::optional<Result> read_result(const fs::path& run) {
  const fs::path file = run / "result.json";
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  const Json document = read_json(file);
  const JsonFields fields(document, file.string());
  Result result;
  result.label = fields.text("label");
  result.steps = fields.integer("steps");
  result.seen_tokens = fields.integer("seen_tokens");
  result.final_loss = fields.number("final_loss");
  result.train_loss = fields.number_or_unknown("train_loss");
  result.l0 = fields.number_or_unknown("l0");
  if (fields.has("nonfinite_step")) result.nonfinite_step = fields.integer("nonfinite_step");
  // Runs that ended before relapses were watched do not say.
  result.relapsed = fields.has("relapsed") && fields.at("relapsed") == true;
  if (fields.has("relapse_step")) result.relapse_step = fields.integer("relapse_step");
  result.digest = fields.at("digest");
  check_seal(document, file.string());
  return result;
}

}  // namespace evenkeel::runs
