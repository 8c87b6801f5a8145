#include "cli/evenkeel/sweep_outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"

namespace evenkeel::cli {
namespace {

using sweep::CellEntry;
using sweep::CellState;
using sweep::SweepFile;

struct Entry {
  CellEntry cell;
  std::optional<runs::Result> result;
};

std::vector<Entry> read_entries(const fs::path& out, const SweepFile& file) {
  std::vector<Entry> entries;
  for (const CellEntry& cell : file.cells) {
    if (!cell.dropped) entries.push_back({cell, runs::read_result(sweep::cell_folder(out, cell.hash))});
  }
  return entries;
}

// Mean over the seeds of one point, or what stands in its way.
std::string point_text(const std::vector<const Entry*>& cells) {
  if (cells.empty()) return "";
  double sum = 0;
  int finite = 0, nonfinite = 0, missing = 0;
  for (const Entry* entry : cells) {
    if (!entry->result) ++missing;
    else if (entry->result->label == "nonfinite") ++nonfinite;
    else sum += entry->result->final_loss, ++finite;
  }
  if (missing > 0) return fmt::format("{} missing", missing);
  if (nonfinite > 0) return fmt::format("nonfinite {}/{}", nonfinite, cells.size());
  return fmt::format("{:.3f}", sum / finite);
}

std::string loss_table(const std::vector<Entry>& entries, const Style& style) {
  std::set<double> lrs;
  std::vector<std::pair<std::string, std::string>> columns;  // size, arm in order of the plan
  std::map<std::pair<std::pair<std::string, std::string>, double>, std::vector<const Entry*>> points;
  for (const Entry& entry : entries) {
    const std::pair column{entry.cell.size, entry.cell.arm};
    if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
    lrs.insert(entry.cell.lr);
    points[{column, entry.cell.lr}].push_back(&entry);
  }
  std::vector<std::vector<std::string>> rows{{"lr"}};
  for (const auto& [size, arm] : columns) rows[0].push_back(size + " " + arm);
  for (const double lr : lrs) {
    rows.push_back({fmt::format("{}", lr)});
    for (const auto& column : columns) rows.back().push_back(point_text(points[{column, lr}]));
  }
  return table_text(rows, style);
}

Json outcome_json(const SweepRequest& request, const std::vector<Entry>& entries, const SweepFile& file,
                  int exit_code) {
  Json cells = Json::array();
  Json counts{{"done", 0}, {"pending", 0}, {"running", 0}, {"crashed", 0}, {"interrupted", 0}};
  for (const Entry& entry : entries) {
    const std::string state(sweep::state_name(entry.cell.state));
    counts[state] = counts[state].get<int>() + 1;
    Json cell{{"config_hash", entry.cell.hash},
              {"arm", entry.cell.arm},
              {"size", entry.cell.size},
              {"lr", entry.cell.lr},
              {"seed", entry.cell.seed},
              {"state", state},
              {"attempts", entry.cell.attempts},
              {"run", sweep::cell_folder(request.out, entry.cell.hash).string()},
              {"label", nullptr},
              {"loss", nullptr}};
    if (entry.result) {
      cell["label"] = entry.result->label;
      cell["loss"] = json_number(entry.result->final_loss);
    }
    if (!entry.cell.message.empty()) cell["message"] = entry.cell.message;
    cells.push_back(std::move(cell));
  }
  return {{"out", request.out.string()}, {"exit_code", exit_code}, {"counts", counts},  {"cells", cells},
          {"notes", file.notes},         {"report", nullptr},      {"verdict", nullptr}};
}

int complain(const std::string& sentence, int exit_code) {
  fmt::print(stderr, "evenkeel: {}\n", sentence);
  return exit_code;
}

}  // namespace

int tell_outcome(const SweepRequest& request, const sweep::Plan&, const SweepFile& file,
                 const std::string& environment_message, int exit_code) {
  const std::vector<Entry> entries = read_entries(request.out, file);
  const auto count = [&](CellState state) {
    return std::count_if(entries.begin(), entries.end(),
                         [&](const Entry& e) { return e.cell.state == state; });
  };
  if (request.json) {
    fmt::print("{}\n", outcome_json(request, entries, file, exit_code).dump(2));
  } else if (exit_code == kExitFinished || exit_code == kExitCellsCrashed) {
    fmt::print("Final validation loss, nats per token, mean over seeds:\n{}",
               loss_table(entries, Style(stdout)));
    for (const std::string& note : file.notes) fmt::print("{}\n", note);
    if (exit_code == kExitFinished && !request.last_words.empty()) fmt::print("{}\n", request.last_words);
  }
  std::fflush(stdout);
  switch (exit_code) {
    case kExitCellsCrashed:
      return complain(
          fmt::format("{} of {} cells crashed; the rest is done. Read their log.txt in {}, then run the same "
                      "command again",
                      count(CellState::kCrashed), entries.size(), (request.out / "cells").string()),
          exit_code);
    case kExitInterrupted:
      return complain(fmt::format("stopped with {} of {} cells done; run the same command again to go on",
                                  count(CellState::kDone), entries.size()),
                      exit_code);
    case kExitEnvironment:
      return complain(fmt::format("stopped with {} of {} cells done because a trainer could not go on: {}",
                                  count(CellState::kDone), entries.size(), environment_message),
                      exit_code);
    default:
      return exit_code;
  }
}

}  // namespace evenkeel::cli
