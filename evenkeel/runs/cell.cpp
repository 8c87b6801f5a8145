#include "evenkeel/runs/cell.h"

#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/verify.h"
#include "evenkeel/spec/arm.h"

namespace evenkeel::runs {
namespace {

// A run in progress has no result yet, but its first record already tells l0.
double first_valid_loss(const fs::path& run) {
  const Series losses = scalar_series(read_records(run / "metrics.jsonl"), "loss/valid/ce");
  const bool at_start = !losses.steps.empty() && losses.steps.front() == 0;
  return at_start ? losses.values.front() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Cell load_cell(const fs::path& run) {
  const Manifest manifest = read_manifest(run);
  Cell cell;
  cell.run = run;
  cell.config_hash = manifest.config_hash;
  cell.arm_hint = manifest.arm;
  cell.result = read_result(run);
  cell.h1 = manifest.data.h1;
  cell.floor = manifest.data.floor;
  cell.l0 = cell.result ? cell.result->l0 : first_valid_loss(run);
  if (const auto& imported = manifest.imported) {
    cell.arm_hint = imported->arm;
    cell.size = imported->size;
    cell.params = imported->params;
    cell.lr = imported->lr;
    cell.seed = imported->seed;
    cell.steps = cell.result ? cell.result->steps : 0;
  } else {
    const Experiment& e = manifest.experiment;
    cell.size = e.arch.size.value_or("");
    cell.params = e.arch.params();
    cell.lr = e.optim.lr;
    cell.seed = e.train.seed;
    cell.steps = e.train.steps;
    cell.config = to_json(e);
  }
  cell.damage = line_file_damage(run, cell.result);
  return cell;
}

std::vector<Cell> load_cells(const fs::path& folder) {
  std::vector<Cell> cells;
  for (const fs::path& run : find_runs(folder)) cells.push_back(load_cell(run));
  return cells;
}

Listing list_cells(const fs::path& folder) {
  return list_cells(find_runs(folder));
}

Listing list_cells(const std::vector<fs::path>& runs) {
  Listing listing;
  for (const fs::path& run : runs) {
    try {
      listing.cells.push_back(load_cell(run));
    } catch (const InputError& e) {
      listing.damaged.emplace_back(run, e.what());
    }
  }
  return listing;
}

std::vector<std::string> arms_of(const std::vector<Cell>& cells) {
  // A name given by a run alone may hide settings that others do not share.
  std::map<std::string, std::vector<Json>> configs;
  for (const Cell& cell : cells) {
    if (!cell.config.empty()) configs[cell.arm_hint].push_back(cell.config);
  }
  std::map<std::string, std::vector<std::string>> differing;
  for (const auto& [hint, same] : configs) differing[hint] = differing_settings(same);
  std::vector<std::string> arms;
  for (const Cell& cell : cells) {
    const std::string more =
        cell.config.empty() ? kBaselineArm : arm_name(cell.config, differing[cell.arm_hint]);
    if (cell.arm_hint.empty() || cell.arm_hint == kBaselineArm) arms.push_back(more);
    else arms.push_back(more == kBaselineArm ? cell.arm_hint : cell.arm_hint + "," + more);
  }
  return arms;
}

}  // namespace evenkeel::runs
