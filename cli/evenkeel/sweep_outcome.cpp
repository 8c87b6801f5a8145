#include "cli/evenkeel/sweep_outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/evenkeel/output.h"
#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/analysis/verdict.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/report/report.h"

namespace evenkeel::cli {
namespace {

using sweep::CellEntry;
using sweep::CellState;
using sweep::SweepFile;

struct Outcome {
  std::vector<std::pair<CellEntry, std::optional<runs::Result>>> cells;
  std::optional<analysis::Analysis> analysis;  ///< when any cell has ended
  std::vector<std::string> verdict;
  std::string report;  ///< its path, once written
};

std::optional<runs::Result> whole_result(const fs::path& run) {
  try {
    return runs::read_result(run);
  } catch (const InputError&) {
    return std::nullopt;  // the analysis says so
  }
}

Outcome read_outcome(const fs::path& out, const SweepFile& file) {
  Outcome outcome;
  bool any = false;
  for (const CellEntry& cell : file.cells) {
    if (cell.dropped) continue;
    outcome.cells.emplace_back(cell, whole_result(sweep::cell_folder(out, cell.hash)));
    any = any || outcome.cells.back().second.has_value();
  }
  if (!any) return outcome;
  const analysis::LoadedSweep sweep = analysis::load_sweep(out);
  tell_damage(sweep.damage);
  outcome.analysis = analysis::analyze(sweep);
  outcome.verdict = analysis::verdict(*outcome.analysis);
  return outcome;
}

// "2.239 degraded 1/2": mean loss over the seeds, or what stands in its way, and the labels that are not
// "finished".
std::string point_text(const analysis::Curve& curve, double lr) {
  const analysis::LrSummary* summary = curve.at(lr);
  if (!summary) return "";
  std::string text = summary->loss.value ? fmt::format("{:.3f}", *summary->loss.value) : "";
  std::map<std::string, int> labels;
  for (const analysis::LabelledPoint& point : curve.points) {
    if (!point.cell.refined && analysis::same_lr(point.cell.lr, lr) && point.cell.label != "finished")
      ++labels[point.cell.label];
  }
  for (const auto& [label, times] : labels) {
    text += fmt::format("{}{}", text.empty() ? "" : " ", label);
    if (times < summary->cells) text += fmt::format(" {}/{}", times, summary->cells);
  }
  return text;
}

std::string loss_table(const analysis::Analysis& analysis, const Style& style) {
  std::vector<double> lrs;
  std::vector<std::vector<std::string>> rows{{"lr"}};
  for (const analysis::Curve& curve : analysis.curves) {
    rows[0].push_back(analysis.sizes.size() > 1 ? curve.size + " " + curve.arm : curve.arm);
    for (const analysis::LrSummary& point : curve.lrs) {
      const auto same = [&](double lr) { return analysis::same_lr(lr, point.lr); };
      if (std::none_of(lrs.begin(), lrs.end(), same)) lrs.push_back(point.lr);
    }
  }
  std::sort(lrs.begin(), lrs.end());
  for (const double lr : lrs) {
    rows.push_back({fmt::format("{}", lr)});
    for (const analysis::Curve& curve : analysis.curves) rows.back().push_back(point_text(curve, lr));
  }
  return table_text(rows, style);
}

// Where each arm's boundary lies, and what it rests on.
std::string boundary_table(const analysis::Analysis& analysis, const Style& style) {
  std::vector<std::vector<std::string>> rows{
      {"arm", "boundary LR", "interval", "seeds", "bracket, decades", "runs to narrow it"}};
  for (const analysis::Curve& curve : analysis.curves) {
    const analysis::Boundary& b = curve.boundary;
    const auto lr = [](double x) { return std::isinf(x) ? "∞" : fmt::format("{:.2g}", x); };
    rows.push_back(
        {analysis.sizes.size() > 1 ? curve.size + " " + curve.arm : curve.arm,
         b.kind == analysis::Boundary::Kind::kNone ? "unknown" : lr(b.low) + " to " + lr(b.high),
         b.interval ? lr(b.interval->low) + " to " + lr(b.interval->high) : "-", std::to_string(curve.seeds),
         std::isfinite(b.width()) ? fmt::format("{:.2f}", b.width()) : "-", std::to_string(curve.refined)});
  }
  return table_text(rows, style);
}

Json outcome_json(const SweepRequest& request, const Outcome& outcome, const SweepFile& file, int exit_code) {
  Json cells = Json::array();
  Json counts{{"done", 0}, {"pending", 0}, {"running", 0}, {"crashed", 0}, {"interrupted", 0}};
  for (const auto& [entry, result] : outcome.cells) {
    const std::string state(sweep::state_name(entry.state));
    counts[state] = counts[state].get<int>() + 1;
    Json cell{{"config_hash", entry.hash},
              {"arm", entry.arm},
              {"size", entry.size},
              {"lr", entry.lr},
              {"seed", entry.seed},
              {"state", state},
              {"attempts", entry.attempts},
              {"round", entry.round},
              {"run", sweep::cell_folder(request.out, entry.hash).string()},
              {"label", nullptr},
              {"loss", nullptr},
              {"relapsed", nullptr}};
    if (result) {
      cell["label"] = result->label;
      cell["loss"] = result->final_loss;
      cell["relapsed"] = result->relapsed;
    }
    if (!entry.message.empty()) cell["message"] = entry.message;
    cells.push_back(std::move(cell));
  }
  return {{"out", request.out.string()},
          {"exit_code", exit_code},
          {"counts", counts},
          {"cells", cells},
          {"notes", file.notes},
          {"verdict", outcome.verdict},
          {"report", outcome.report.empty() ? Json(nullptr) : Json(outcome.report)}};
}

void print_outcome(const SweepRequest& request, const Outcome& outcome, const SweepFile& file) {
  const Style style(stdout);
  print_out("\nFinal validation loss, nats per token, mean over seeds\n{}\n",
            loss_table(*outcome.analysis, style));
  print_out("{}\n", boundary_table(*outcome.analysis, style));
  for (const std::string& sentence : outcome.verdict) print_out("{}\n", wrapped(sentence, stdout));
  for (const std::string& note : file.notes) print_out("{}\n", wrapped("Note: " + note, stdout));
  print_out("\nReport: {}\nRuns:   {}\n", outcome.report, (request.out / "cells").string());
}

int complain(const std::string& sentence, int exit_code) {
  std::fflush(stdout);
  print_err("evenkeel: {}\n", printable(sentence));
  return exit_code;
}

}  // namespace

int tell_outcome(const SweepRequest& request, const SweepFile& file, const std::string& refusal,
                 int exit_code) {
  Outcome outcome = read_outcome(request.out, file);
  const bool ended = outcome.analysis && (exit_code == kExitFinished || exit_code == kExitCellsCrashed);
  if (ended) {
    const fs::path html = request.out / "report.html";
    report::write_report(report::report_document({request.out}), html);
    outcome.report = html.string();
  }
  if (request.json) {
    print_out("{}\n", json_text(outcome_json(request, outcome, file, exit_code), 2));
  } else if (ended) {
    print_outcome(request, outcome, file);
    if (!request.last_words.empty()) print_out("\n{}\n", request.last_words);
  }
  const auto count = [&](CellState state) {
    return std::count_if(outcome.cells.begin(), outcome.cells.end(),
                         [&](const auto& cell) { return cell.first.state == state; });
  };
  switch (exit_code) {
    case kExitCellsCrashed:
      return complain(
          fmt::format("{} of {} cells crashed; the rest is done: read their log.txt below {}, then run the "
                      "same command again",
                      count(CellState::kCrashed), outcome.cells.size(), (request.out / "cells").string()),
          exit_code);
    case kExitInterrupted:
      return complain(fmt::format("stopped with {} of {} cells done; run the same command again to go on",
                                  count(CellState::kDone), outcome.cells.size()),
                      exit_code);
    case kExitEnvironment:
      return complain(fmt::format("stopped with {} of {} cells done because a trainer could not go on: {}",
                                  count(CellState::kDone), outcome.cells.size(), refusal),
                      exit_code);
    case kExitBadInput:
      return complain(refusal, exit_code);
    default:
      return exit_code;
  }
}

}  // namespace evenkeel::cli
