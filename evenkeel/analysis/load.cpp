#include "evenkeel/analysis/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "evenkeel/analysis/stats.h"
#include "evenkeel/base/error.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::analysis {
namespace {

const std::set<std::string> kNotArm{"arch.size",      "arch.width", "arch.depth", "arch.heads",
                                    "arch.ffn_width", "optim.lr",   "train.seed"};

/// Median time of a step from the run's clock; NaN when it recorded none.
double step_ms(const runs::Cell& cell) {
  const auto records = runs::read_records(cell.run / "timing.jsonl");
  const double step_s = median_of_finite(runs::scalar_series(records, "step_s").values);
  if (step_s > 0) return 1e3 * step_s;
  const double rate = median_of_finite(runs::scalar_series(records, "tokens_per_s").values);
  if (!(rate > 0) || cell.config.empty()) return kUnknown;
  const double tokens =
      cell.config["train"]["batch"].get<double>() * cell.config["arch"]["context"].get<double>();
  return 1e3 * tokens / rate;
}

LoadedCell loaded(runs::Cell cell) {
  LoadedCell l;
  l.begun = true;
  CellPoint& p = l.point;
  p.arm = cell.arm_hint;
  p.size = cell.size;
  p.params = cell.params;
  p.lr = cell.lr;
  p.seed = cell.seed;
  p.l0 = cell.l0;
  p.steps = cell.steps;
  p.step_ms = step_ms(cell);
  p.label = cell.result ? cell.result->label : "missing";
  if (cell.result && p.label != "nonfinite") p.loss = cell.result->final_loss;
  l.cell = std::move(cell);
  return l;
}

LoadedSweep from_sweep_file(const fs::path& folder) {
  const fs::path file = folder / "sweep.json";
  const Json document = read_json(file);
  LoadedSweep sweep;
  try {
    sweep.study = document.value("study", Json::object());
    sweep.axes = document.value("axes", Json::object());
    sweep.notes = document.value("notes", std::vector<std::string>{});
    for (const Json& entry : document.at("cells")) {
      const std::string hash = entry.at("hash");
      const fs::path run = folder / "cells" / hash;
      LoadedCell cell;
      if (fs::exists(run / "manifest.json")) cell = loaded(runs::load_cell(run));
      CellPoint& p = cell.point;
      p.arm = entry.at("arm");
      p.size = entry.at("size");
      p.lr = number_from_json(entry.at("lr"), "lr");
      p.seed = entry.at("seed");
      if (!cell.begun) {
        p.params = entry.value("params", std::int64_t{-1});
        p.label = "missing";
        cell.cell.run = run;
        cell.cell.config_hash = hash;
      }
      sweep.cells.push_back(std::move(cell));
    }
  } catch (const Json::exception&) {
    throw InputError(file.string() +
                     " is damaged: a key is missing or of the wrong type; run the same sweep again to "
                     "write it anew");
  }
  // A run that has not begun does not know its length; its siblings do.
  std::int64_t steps = 0;
  for (const auto& c : sweep.cells) steps = std::max(steps, c.begun ? c.point.steps : 0);
  for (auto& c : sweep.cells) {
    if (!c.begun) c.point.steps = steps;
  }
  return sweep;
}

std::string value_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::map<std::string, Json> flatten(const Json& config) {
  std::map<std::string, Json> flat;
  for (const auto& [path, setting] : settings_from_json(config, "manifest")) flat[path] = setting.value;
  return flat;
}

/// Paths of settings that differ, in order; only those that decide the result.
std::vector<std::string> differing(const std::vector<std::map<std::string, Json>>& configs) {
  std::vector<std::string> paths;
  for (const FieldDoc& field : describe<Experiment>()) {
    if (!field.hashed) continue;
    std::set<std::string> values;
    for (const auto& config : configs) {
      if (const auto it = config.find(field.path); it != config.end()) values.insert(value_text(it->second));
    }
    if (values.size() > 1) paths.push_back(field.path);
  }
  return paths;
}

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

LoadedSweep from_runs(const fs::path& folder) {
  LoadedSweep sweep;
  for (runs::Cell& cell : runs::load_cells(folder)) sweep.cells.push_back(loaded(std::move(cell)));
  std::vector<Json> configs;
  std::vector<std::map<std::string, Json>> flat;
  for (const auto& c : sweep.cells) {
    if (c.cell.config.empty()) continue;
    configs.push_back(c.cell.config);
    flat.push_back(flatten(c.cell.config));
  }
  const auto arms = derive_arms(configs);
  std::size_t next = 0;
  for (auto& c : sweep.cells) {
    const bool has_config = !c.cell.config.empty();
    if (c.point.arm.empty()) c.point.arm = has_config ? arms[next] : "baseline";
    next += has_config;
  }
  for (const auto& path : differing(flat)) {
    std::set<Json> values;
    for (const auto& config : flat) values.insert(config.at(path));
    sweep.axes[path] = values;
  }
  return sweep;
}

}  // namespace

std::vector<std::string> derive_arms(const std::vector<Json>& configs) {
  std::vector<std::map<std::string, Json>> flat;
  for (const Json& config : configs) flat.push_back(flatten(config));
  std::map<std::string, std::string> key_of;  // path -> key
  std::map<std::string, int> uses;
  for (const auto& path : differing(flat)) {
    if (kNotArm.count(path)) continue;
    key_of[path] = last_part(path);
    ++uses[last_part(path)];
  }
  std::vector<std::string> arms;
  for (const auto& config : flat) {
    std::map<std::string, std::string> pieces;
    for (const auto& [path, key] : key_of) pieces[uses[key] > 1 ? path : key] = value_text(config.at(path));
    std::string arm;
    for (const auto& [key, value] : pieces) arm += (arm.empty() ? "" : ",") + key + "=" + value;
    arms.push_back(arm.empty() ? "baseline" : arm);
  }
  return arms;
}

LoadedSweep load_sweep(const fs::path& folder) {
  return fs::exists(folder / "sweep.json") ? from_sweep_file(folder) : from_runs(folder);
}

std::vector<CellPoint> points_of(const LoadedSweep& sweep) {
  std::vector<CellPoint> points;
  for (const auto& c : sweep.cells) points.push_back(c.point);
  return points;
}

}  // namespace evenkeel::analysis
