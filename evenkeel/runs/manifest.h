// manifest.json: what a run is. docs/formats/run_directory.md describes every file of a run directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>

#include "evenkeel/base/json.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::runs {

namespace fs = std::filesystem;

/// Facts of the data that analysis needs; entropies in nats per token. NaN: unknown.
struct DataRecord {
  std::string name;
  double h1 = std::numeric_limits<double>::quiet_NaN();
  double bigram_entropy = std::numeric_limits<double>::quiet_NaN();
  double floor = std::numeric_limits<double>::quiet_NaN();
  std::int64_t train_tokens = -1;
};

/// What a foreign log said about a run: it stands in for the experiment, which cannot be known. NaN, "" or
/// -1: not said.
struct Imported {
  std::string source;  ///< file name and line the run came from
  std::string arm, size;
  std::int64_t params = -1;
  double lr = std::numeric_limits<double>::quiet_NaN();
  std::int64_t seed = -1;
};

inline constexpr std::int64_t kManifestFormat = 1;

struct Manifest {
  Experiment experiment;  ///< resolved
  std::string config_hash;
  std::string arm;  ///< "" until a sweep names it; analysis derives names across runs
  DataRecord data;
  Json versions = Json::object();  ///< {"evenkeel": "0.1.0", "format": 1}: equal for equal runs
  /// Host, processor, torch, times, absolute paths of the data: may differ between equal runs.
  Json environment = Json::object();
  /// Set for a run made by `evenkeel import`; `experiment` then means nothing.
  std::optional<Imported> imported{};
};

/// Paths of the data go into `environment`, so that all else is equal for equal runs.
void write_manifest(const fs::path& run, const Manifest& manifest);
/// Throws InputError when the folder holds no run, a damaged manifest (its configuration does not match its
/// hash, or the rest not its checksum), and as NewerFormat (runs/json_fields.h) one of a later version.
Manifest read_manifest(const fs::path& run);
/// Throws InputError when the environment of a manifest is not what was written. Reading allows that: a user
/// may have moved the data.
void check_environment(const std::filesystem::path& run);

/// result.json: how a run ended; there only when it has ended. Losses in nats per token.
struct Result {
  std::string label;       ///< finished | not_learned | nonfinite
  std::int64_t steps = 0;  ///< optimiser steps done
  std::int64_t seen_tokens = 0;
  double final_loss = 0;  ///< validation cross-entropy at the end; NaN when nonfinite
  double train_loss = 0;  ///< mean training cross-entropy of the last 10 % of the steps; NaN: not known
  double l0 = 0;          ///< validation cross-entropy at initialisation; NaN: not known
  std::optional<std::int64_t> nonfinite_step;
  bool relapsed = false;  ///< at the end a relapse lasted (telemetry/detectors.h); beside the label
  std::optional<std::int64_t> relapse_step{};  ///< its first step
  Json digest;                                 ///< file name -> content hash of metrics, heads and events
};

/// Final validation loss within this of H1 (nat): nothing was learned.
inline constexpr double kNotLearnedMargin = 0.05;

/// The label a run gives itself (docs: definitions): "nonfinite" when a step or the final loss was not
/// finite, "not_learned" when final_loss >= h1 - kNotLearnedMargin, else "finished". An unknown h1 (NaN)
/// never says not_learned.
std::string label_of(std::optional<std::int64_t> nonfinite_step, double final_loss, double h1);

/// result.json, in memory.
Json result_json(const Result& result);
void write_result(const fs::path& run, const Result& result);
/// nullopt while the run has not ended. Throws InputError when the file is damaged.
std::optional<Result> read_result(const fs::path& run);

}  // namespace evenkeel::runs
