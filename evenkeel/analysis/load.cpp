#include "evenkeel/analysis/load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "evenkeel/analysis/stats.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/runs/json_fields.h"
#include "evenkeel/runs/summary.h"
#include "evenkeel/spec/arm.h"
#include "evenkeel/spec/sweep.h"

namespace evenkeel::analysis {
namespace {

/// LoadedSweep::baseline of cells whose arms are named; `paths` are the settings in which they differ.
std::string baseline_of(const std::vector<LoadedCell>& cells, const std::vector<std::string>& paths) {
  std::string best;
  int fewest = std::numeric_limits<int>::max();
  for (const LoadedCell& c : cells) {
    if (c.cell.config.empty()) continue;
    const int changed = changed_settings(c.cell.config, paths);
    if (changed < fewest) {
      fewest = changed;
      best = c.point.arm;
    }
  }
  return best;
}

LoadedCell loaded(runs::Cell cell, std::vector<std::string>& damage) {
  damage.insert(damage.end(), cell.damage.begin(), cell.damage.end());
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
  p.step_ms = runs::step_ms(cell);
  p.effective_lr = runs::effective_lr_of(cell);
  p.label = cell.result ? cell.result->label : "missing";
  if (cell.result && p.label != "nonfinite") p.loss = cell.result->final_loss;
  p.relapsed = cell.result && cell.result->relapsed;
  l.cell = std::move(cell);
  return l;
}

/// What sweep.json says of a cell, and where the run's own manifest, which is guarded by its hash, says
/// otherwise.
struct Listed {
  std::string arm, size;
  double lr;
  std::int64_t seed;
};

/// The manifest's word where the two differ, with a note; the list's name of the arm where it fits the
/// manifest's settings, because arms are named anew when a study gets another axis.
void settle(LoadedCell& cell, const Listed& listed, const std::vector<Axis>& axes,
            std::vector<std::string>& notes) {
  CellPoint& p = cell.point;
  std::string differs;
  const auto note = [&](const char* what, const auto& there, const auto& here) {
    differs += fmt::format("{}{} {} where the run has {}", differs.empty() ? "" : ", ", what, there, here);
  };
  if (listed.lr != p.lr) note("lr", listed.lr, p.lr);
  if (listed.seed != p.seed) note("seed", listed.seed, p.seed);
  if (listed.size != p.size) note("size", shortened(listed.size), p.size);
  const Json& config = cell.cell.config;
  if (listed.arm == p.arm || (!config.empty() && fits(listed.arm, config, axes))) p.arm = listed.arm;
  else note("arm", shortened(listed.arm), p.arm);
  if (!differs.empty())
    notes.push_back(fmt::format("sweep.json says of cell {}: {}; the run's own word is taken",
                                cell.cell.config_hash, differs));
}

std::string missing_sentence(const std::string& run, const std::string& why) {
  return fmt::format("{} counts as missing: {}", run, why);
}

void require_any(const std::vector<LoadedSweep>& sweeps) {
  std::string damage;
  for (const LoadedSweep& sweep : sweeps) {
    if (std::any_of(sweep.cells.begin(), sweep.cells.end(), [](const auto& c) { return c.begun; })) return;
    if (damage.empty() && !sweep.damage.empty()) damage = sweep.damage.front();
  }
  if (!damage.empty()) throw InputError(damage);
}

LoadedSweep from_sweep_file(const fs::path& folder) {
  const fs::path file = folder / "sweep.json";
  const Json document = read_json(file);
  if (document.is_object() && !runs::seal_holds(document)) {
    throw InputError(
        file.string() +
        " is damaged: its checksum does not match; the cells are whole: remove this file and run "
        "the same sweep again");
  }
  LoadedSweep sweep;
  std::vector<Axis> axes;
  std::vector<std::string> swept;
  try {
    bind(sweep.study, settings_from_json(document.value("study", Json::object()), file.string()));
    sweep.axes = document.value("axes", Json::object());
    sweep.notes = document.value("notes", std::vector<std::string>{});
    for (const auto& [name, values] : sweep.axes.items()) {
      try {
        axes.push_back(axis_from(name, {values, file.string()}));
        swept.insert(swept.end(), axes.back().paths.begin(), axes.back().paths.end());
      } catch (const InputError& e) {
        sweep.notes.push_back(fmt::format("the axis {} is passed over: {}", shortened(name), e.what()));
      }
    }
    std::vector<fs::path> begun;
    for (const Json& entry : document.at("cells")) {
      const std::string hash = entry.at("hash");
      if (!is_config_hash(hash)) {
        throw InputError(
            fmt::format("{}: the hash of a cell must be 16 hexadecimal digits, got {}; the cells are "
                        "whole: remove this file and run the same sweep again",
                        file.string(), excerpt(hash)));
      }
      if (const fs::path run = folder / "cells" / hash; fs::exists(run / "manifest.json"))
        begun.push_back(run);
    }
    std::vector<runs::Loaded> found = runs::load_all(begun);
    std::size_t next = 0;
    for (const Json& entry : document.at("cells")) {
      const std::string hash = entry.at("hash");
      const fs::path run = folder / "cells" / hash;
      LoadedCell cell;
      std::string why;
      if (next < begun.size() && begun[next] == run) {
        runs::Loaded& there = found[next++];
        if (there.cell) cell = loaded(std::move(*there.cell), sweep.damage);
        why = std::move(there.why);
      }
      CellPoint& p = cell.point;
      const Listed listed{entry.at("arm"), entry.at("size"), number_from_json(entry.at("lr"), "lr"),
                          integer_from_json(entry.at("seed"), "seed")};
      p.refined = integer_from_json(entry.value("round", Json(0)), "round") > 0;
      if (!why.empty())
        sweep.damage.push_back(
            missing_sentence(fmt::format("{} {} lr {} seed {} ({})", listed.arm, listed.size, listed.lr,
                                         listed.seed, run.string()),
                             why));
      if (cell.begun) {
        settle(cell, listed, axes, sweep.notes);
      } else {
        p.arm = listed.arm;
        p.size = listed.size;
        p.lr = listed.lr;
        p.seed = listed.seed;
        p.params = integer_from_json(entry.value("params", Json(-1)), "params");
        p.label = "missing";
        cell.cell.run = run;
        cell.cell.config_hash = hash;
      }
      sweep.cells.push_back(std::move(cell));
    }
  } catch (const Json::exception&) {
    throw InputError(file.string() +
                     " is damaged: a key is missing or of the wrong type; the cells are whole: "
                     "remove this file and run the same sweep again");
  }
  sweep.baseline = sweep.study.baseline.empty() ? baseline_of(sweep.cells, swept) : sweep.study.baseline;
  // A run that has not begun does not know its length; its siblings do.
  std::int64_t steps = 0;
  for (const auto& c : sweep.cells) steps = std::max(steps, c.begun ? c.point.steps : 0);
  for (auto& c : sweep.cells) {
    if (!c.begun) c.point.steps = steps;
  }
  return sweep;
}

/// The settings in which configs of these cells differ, each with its values, as axes.
Json axes_between(const std::vector<LoadedCell>& cells) {
  std::vector<const Json*> configs;
  for (const LoadedCell& c : cells)
    if (!c.cell.config.empty()) configs.push_back(&c.cell.config);
  Json axes = Json::object();
  for (const auto& path : differing_settings(configs)) {
    std::set<Json> values;
    for (const Json* config : configs) values.insert(field_value(*config, path));
    axes[path] = values;
  }
  return axes;
}

LoadedSweep from_runs(const runs::Listing& listing) {
  LoadedSweep sweep;
  const std::vector<runs::Cell>& cells = listing.cells;
  for (const auto& [run, why] : listing.damaged) sweep.damage.push_back(missing_sentence(run.string(), why));
  const std::vector<std::string> arms = runs::arms_of(cells);
  const auto has_lr = [](const runs::Cell& cell) { return cell.lr > 0 && std::isfinite(cell.lr); };
  const bool any_lr = std::any_of(cells.begin(), cells.end(), has_lr);
  std::vector<std::string> without_lr;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (any_lr && !has_lr(cells[i])) {
      without_lr.push_back(cells[i].run.filename().string());
      continue;
    }
    sweep.cells.push_back(loaded(cells[i], sweep.damage));
    sweep.cells.back().point.arm = arms[i];
  }
  if (!without_lr.empty()) {
    sweep.notes.push_back(fmt::format("{} runs have no learning rate and are left out: {}", without_lr.size(),
                                      shortened(fmt::format("{}", fmt::join(without_lr, ", ")), 300)));
  }
  sweep.axes = axes_between(sweep.cells);
  const bool all_known = std::none_of(sweep.cells.begin(), sweep.cells.end(),
                                      [](const auto& c) { return c.cell.config.empty(); });
  std::vector<std::string> differing;
  for (const auto& [path, values] : sweep.axes.items()) differing.push_back(path);
  if (all_known) sweep.baseline = baseline_of(sweep.cells, differing);
  return sweep;
}

LoadedSweep joined(const std::vector<fs::path>& folders) {
  LoadedSweep all;
  std::map<std::string, std::size_t> places;                         // of a hash among the cells
  std::map<std::pair<std::size_t, std::string>, std::string> names;  // of the arm of a folder: its new name
  std::vector<std::size_t> folder_of;
  std::size_t twice = 0;
  for (std::size_t f = 0; f < folders.size(); ++f) {
    LoadedSweep one = load_sweep(folders[f]);
    if (f == 0) all.study.margin_decades = one.study.margin_decades;
    all.study.title +=
        (f > 0 ? "; " : "") + (one.study.title.empty() ? folders[f].string() : one.study.title);
    for (const std::string& note : one.notes) all.notes.push_back(folders[f].string() + ": " + note);
    all.damage.insert(all.damage.end(), one.damage.begin(), one.damage.end());
    for (LoadedCell& cell : one.cells) {
      const auto [place, is_new] = places.insert({cell.cell.config_hash, all.cells.size()});
      if (!is_new) {
        ++twice;
        LoadedCell& there = all.cells[place->second];
        const auto worth = [](const LoadedCell& c) { return c.cell.result ? 2 : c.begun ? 1 : 0; };
        if (worth(cell) > worth(there)) {
          there = std::move(cell);
          folder_of[place->second] = f;
        }
        continue;
      }
      all.cells.push_back(std::move(cell));
      folder_of.push_back(f);
    }
  }
  if (twice > 0)
    all.notes.push_back(fmt::format("{} cells are in more than one of the folders and count once", twice));
  all.axes = axes_between(all.cells);
  std::vector<std::string> paths;
  for (const auto& [path, values] : all.axes.items()) paths.push_back(path);
  for (std::size_t i = 0; i < all.cells.size(); ++i) {
    CellPoint& p = all.cells[i].point;
    if (all.cells[i].cell.config.empty()) continue;
    names.insert({{folder_of[i], p.arm}, arm_name(all.cells[i].cell.config, paths)});
    p.arm = arm_name(all.cells[i].cell.config, paths);
  }
  // What has not begun has no configuration here; its siblings' name is known.
  for (std::size_t i = 0; i < all.cells.size(); ++i) {
    if (all.cells[i].begun) continue;
    const auto name = names.find({folder_of[i], all.cells[i].point.arm});
    if (name != names.end()) all.cells[i].point.arm = name->second;
  }
  all.baseline = baseline_of(all.cells, paths);
  return all;
}

}  // namespace

LoadedSweep load_sweep(const fs::path& folder) {
  std::vector<LoadedSweep> sweep{fs::exists(folder / "sweep.json") ? from_sweep_file(folder)
                                                                   : from_runs(runs::list_cells(folder))};
  require_any(sweep);
  return std::move(sweep.front());
}

LoadedSweep load_sweep(const std::vector<fs::path>& folders) {
  if (folders.empty()) throw InputError("no folder was given; name the folder of a sweep, or of runs");
  if (folders.size() == 1) return load_sweep(folders.front());
  return joined(folders);
}

std::vector<LoadedSweep> load_sweeps(const fs::path& folder) {
  if (fs::exists(folder / "sweep.json")) return {load_sweep(folder)};
  std::set<fs::path> sweep_folders;
  std::vector<fs::path> loose;
  for (const fs::path& run : runs::find_runs(folder)) {
    const fs::path above = run.parent_path().parent_path();
    const bool below_folder = run != folder && run.parent_path() != folder;
    if (below_folder && run.parent_path().filename() == "cells" && fs::exists(above / "sweep.json"))
      sweep_folders.insert(above);
    else loose.push_back(run);
  }
  std::vector<LoadedSweep> sweeps;
  for (const fs::path& path : sweep_folders) sweeps.push_back(from_sweep_file(path));
  if (!loose.empty()) sweeps.push_back(from_runs(runs::list_cells(loose)));
  require_any(sweeps);
  return sweeps;
}

std::vector<CellPoint> points_of(const LoadedSweep& sweep) {
  std::vector<CellPoint> points;
  for (const auto& c : sweep.cells) points.push_back(c.point);
  return points;
}

Analysis analyze(const LoadedSweep& sweep, Options options) {
  if (options.baseline.empty()) options.baseline = sweep.baseline;
  options.margin = sweep.study.margin_decades;
  return analyze(points_of(sweep), options);
}

}  // namespace evenkeel::analysis
