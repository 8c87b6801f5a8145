#include "evenkeel/runs/cell.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "evenkeel/base/error.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/summary.h"
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

namespace {
constexpr const char* kSomePath = "-";
}

Cell cell_from_manifest(const fs::path& run) {
  const Manifest manifest = read_manifest(run);
  Cell cell;
  cell.run = run;
  cell.config_hash = manifest.config_hash;
  cell.arm_hint = manifest.arm;
  cell.h1 = manifest.data.h1;
  cell.floor = manifest.data.floor;
  if (const auto& imported = manifest.imported) {
    cell.arm_hint = imported->arm;
    cell.size = imported->size;
    cell.params = imported->params;
    cell.lr = imported->lr;
    cell.seed = imported->seed;
  } else {
    const Experiment& e = manifest.experiment;
    cell.size = e.arch.size.value_or("");
    cell.params = e.arch.params();
    cell.lr = e.optim.lr;
    cell.seed = e.train.seed;
    cell.steps = e.train.steps;
    cell.config = to_json(e);
    // That there was one stays, or the configuration would not be a whole one.
    for (const char* path : {"path", "valid_path"})
      if (Json& given = cell.config["data"][path]; given != "auto") given = kSomePath;
  }
  return cell;
}

Cell load_cell(const fs::path& run) {
  std::optional<Result> result = read_result(run);
  if (result) {
    if (std::optional<Cell> cell = cell_from_summary(run, *result)) return std::move(*cell);
  }
  Cell cell = cell_from_manifest(run);
  cell.result = std::move(result);
  cell.l0 = cell.result ? cell.result->l0 : first_valid_loss(run);
  if (cell.config.empty() && cell.result) cell.steps = cell.result->steps;
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
  std::vector<Loaded> all = load_all(runs);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].cell) listing.cells.push_back(std::move(*all[i].cell));
    else listing.damaged.emplace_back(runs[i], std::move(all[i].why));
  }
  return listing;
}

std::vector<Loaded> load_all(const std::vector<fs::path>& runs) {
  constexpr std::size_t kMostThreads = 8, kRunsPerThread = 50;
  std::vector<Loaded> all(runs.size());
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex guard;
  const auto load = [&] {
    for (std::size_t i = 0; (i = next++) < runs.size();) {
      try {
        all[i].cell = load_cell(runs[i]);
      } catch (const InputError& e) {
        all[i].why = e.what();
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!failure) failure = std::current_exception();
        return;
      }
    }
  };
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t threads = std::min({cores, kMostThreads, runs.size() / kRunsPerThread + 1});
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < threads; ++i) others.emplace_back(load);
    } catch (const std::system_error&) {  // no more threads: those that started do
    }
    load();
  }
  if (failure) std::rethrow_exception(failure);
  return all;
}

std::vector<std::string> arms_of(const std::vector<Cell>& cells) {
  // A name given by a run alone may hide settings that others do not share.
  std::map<std::string, std::vector<const Json*>> configs;
  for (const Cell& cell : cells) {
    if (!cell.config.empty()) configs[cell.arm_hint].push_back(&cell.config);
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
