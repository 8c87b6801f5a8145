#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/terminal.h"
#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/json.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/analysis/verdict.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::cli {
namespace {

std::string number(const analysis::Estimate& e, int digits) {
  return e.value ? fmt::format("{:.{}g}", *e.value, digits) : "-";
}

std::string sensitivity(const analysis::Sensitivity& s) {
  if (!s.value) return "-";
  return fmt::format("{:.3f}{}", *s.value, s.undertrained ? " u" : "");
}

std::string loss_text(const analysis::LrSummary& row) {
  if (row.loss.value) return fmt::format("{:.3f}{}", *row.loss.value, row.unstable ? " *" : "");
  return row.missing ? fmt::format("({} missing)", row.missing)
                     : fmt::format("{} of {} not finite", row.nonfinite, row.cells);
}

void print_loss_table(const analysis::Analysis& a) {
  std::vector<double> lrs;
  for (const auto& c : a.curves) {
    for (const auto& row : c.lrs) {
      if (std::none_of(lrs.begin(), lrs.end(), [&](double lr) { return analysis::same_lr(lr, row.lr); }))
        lrs.push_back(row.lr);
    }
  }
  std::sort(lrs.begin(), lrs.end());
  std::vector<std::vector<std::string>> rows{{"size", "arm"}};
  for (const double lr : lrs) rows[0].push_back(fmt::format("lr {:g}", lr));
  for (const auto& c : a.curves) {
    std::vector<std::string> row{c.size, c.arm};
    for (const double lr : lrs) row.push_back(c.at(lr) ? loss_text(*c.at(lr)) : "");
    rows.push_back(std::move(row));
  }
  print_out("Final validation loss (nat, mean over seeds; * some cells unstable)\n{}",
            table_text(rows, Style(stdout), 2));
}

void print_summary(const analysis::Analysis& a) {
  std::vector<std::vector<std::string>> rows{{"size", "arm", "best LR", "best loss", "stable up to",
                                              "boundary LR", "S paper", "S run length", "S swept"}};
  for (const auto& c : a.curves) {
    rows.push_back({c.size, c.arm, number(c.best_lr, 3),
                    c.best_loss.value ? fmt::format("{:.3f}", *c.best_loss.value) : "-",
                    number(c.stable_lr_max, 3), analysis::boundary_text(c.boundary), sensitivity(c.paper),
                    sensitivity(c.run_length), sensitivity(c.swept)});
  }
  print_out(
      "\nLR sensitivity S in nat (u: undertrained window), boundary LR: mean bracket over seeds and its "
      "interval\n{}",
      table_text(rows, Style(stdout), 2));
  for (const auto& c : a.curves) {
    const std::string who = printable("  " + c.size + " " + c.arm + ": ");
    if (c.missing > 0) print_out("{}{} cells have not ended: their seeds are left out\n", who, c.missing);
    if (c.seeds == 0) continue;
    if (!c.paper.value) print_out("{}S paper: {}\n", who, c.paper.why);
    if (!c.run_length.value) print_out("{}S run length: {}\n", who, c.run_length.why);
    if (!c.boundary.why.empty()) print_out("{}{}\n", who, c.boundary.why);
  }
}

struct AnalyzeArguments {
  std::vector<std::string> folders;
  std::string baseline;
  bool json = false;
};

}  // namespace

void add_analyze(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<AnalyzeArguments>();
  CLI::App* command = app.add_subcommand("analyze", "LR sensitivity, boundary LR and comparison of arms");
  command->add_option("DIR", args->folders, "Folder of a sweep, or of runs; several count as one")
      ->required();
  command->add_option(
      "--baseline", args->baseline,
      "Arm that the others are compared with. Without it: the study's, else the one whose settings "
      "are the defaults");
  add_json_flag(*command, args->json);
  command->footer(
      "Examples:\n  evenkeel analyze runs/demo\n  evenkeel analyze runs/demo --json > analysis.json\n  "
      "evenkeel analyze runs/a runs/b        two sweeps as one");
  command->callback([args, &exit_code] {
    const auto sweep =
        analysis::load_sweep(std::vector<std::filesystem::path>(args->folders.begin(), args->folders.end()));
    tell_damage(sweep.damage);
    analysis::Options options;
    options.baseline = args->baseline;
    const auto result = analysis::analyze(sweep, options);
    if (args->json) {
      print_out("{}\n", json_text(analysis::analysis_json(result), 2));
    } else {
      print_loss_table(result);
      print_summary(result);
      print_out("\n");
      for (const auto& note : sweep.notes) print_out("{}\n", wrapped("Note: " + note, stdout));
      for (const auto& sentence : analysis::verdict(result)) print_out("{}\n", wrapped(sentence, stdout));
    }
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
