#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/terminal.h"
#include "evenkeel/analysis/predictor_runs.h"
#include "evenkeel/analysis/predictors.h"
#include "evenkeel/analysis/predictors_json.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::cli {
namespace {

using analysis::Estimate;
using analysis::Predictors;
using analysis::SignalAt;
using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kColumns = 4;  // of horizons: five would pass 100 characters

std::string estimate(const Estimate& e) {
  if (!e.value) return "-";
  if (!e.interval) return fmt::format("{:.2f}", *e.value);
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]", *e.value, e.interval->low, e.interval->high);
}

/// In hundredths; adding 0 turns a rounded -0 into 0.
std::string hundredths(const Estimate& e, const char* unit) {
  if (!e.value) return "-";
  const auto text = [](double x) { return fmt::format("{:.0f}", std::round(100 * x) + 0.0); };
  if (!e.interval) return text(*e.value) + unit;
  return fmt::format("{}{} [{}, {}]", text(*e.value), unit, text(e.interval->low), text(e.interval->high));
}
std::string points(const Estimate& e) {
  return hundredths(e, "");
}
std::string percent(const Estimate& e) {
  return hundredths(e, " %");
}

/// Horizons as columns; rows without any value are left out.
void print_by_horizon(const Predictors& p, const char* title, Estimate SignalAt::*which,
                      std::string (*text)(const Estimate&) = estimate) {
  for (std::size_t from = 0; from < p.options.at.size(); from += kColumns) {
    const std::size_t to = std::min(from + kColumns, p.options.at.size());
    Rows rows{{"signal"}};
    for (std::size_t i = from; i < to; ++i) rows[0].push_back(p.options.at[i].text());
    for (const auto& signal : p.signals) {
      std::vector<std::string> row{signal.signal->name};
      bool any = false;
      for (std::size_t i = from; i < to; ++i) {
        const Estimate& e = signal.at[i].*which;
        row.push_back(text(e));
        any = any || e.value;
      }
      if (any) rows.push_back(row);
    }
    if (rows.size() == 1) {
      print_out("\n{}\n",
                wrapped(fmt::format("{}: {}", title, (p.signals.front().at[from].*which).why), stdout));
      continue;
    }
    print_out("\n{}\n{}", title, table_text(rows, Style(stdout)));
  }
}

void print_lead(const Predictors& p) {
  Rows rows{{"signal", "before onset", "lead, steps", "lead, % of training", "false alarms", "threshold"}};
  std::string why;
  for (const auto& signal : p.signals) {
    const auto& lead = signal.lead;
    if (signal.signal->reference) continue;
    if (!lead.threshold) {
      if (why.empty()) why = lead.alarmed.why;
      continue;
    }
    rows.push_back({signal.signal->name, percent(lead.alarmed),
                    lead.steps.value ? fmt::format("{:.0f}", *lead.steps.value) : "-", percent(lead.share),
                    percent(lead.false_alarms),
                    lead.threshold->low == lead.threshold->high
                        ? fmt::format("{:.3g}", lead.threshold->low)
                        : fmt::format("{:.3g} to {:.3g}", lead.threshold->low, lead.threshold->high)});
  }
  const char* title = "Alarms: failing runs alarmed before their onset, median lead, stable runs alarmed";
  if (rows.size() == 1) print_out("\n{}\n", wrapped(fmt::format("{}: {}", title, why), stdout));
  else print_out("\n{}\n{}", title, table_text(rows, Style(stdout)));
  int without = 0;
  for (const auto& signal : p.signals) without = std::max(without, signal.lead.no_threshold);
  if (without > 0)
    print_out("Without {} runs: fewer than {} stable runs of their size in other configurations\n", without,
              p.options.min_stable);
}

void print_sharpness(const Predictors& p) {
  if (p.sharpness.empty()) return;
  Rows rows{{"signal", "eigenvalue", "ratio"}};
  for (const auto& row : p.sharpness)
    if (row.eigenvalue.value || row.ratio.value)
      rows.push_back({row.signal->name, estimate(row.eigenvalue), estimate(row.ratio)});
  print_out("\nSpearman's correlation with sharpness, {} points", p.sharpness_points);
  if (p.sharpness_unmatched > 0)
    print_out(" ({} more are of runs not given here, by folder as the probe wrote it)",
              p.sharpness_unmatched);
  if (rows.size() == 1) print_out(": {}\n", p.sharpness.front().eigenvalue.why);
  else print_out("\n{}", table_text(rows, Style(stdout)));
}

void print_missing(const Predictors& p) {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;  // why, of which signals
  for (const auto& signal : p.signals) {
    for (const auto& at : signal.at) {
      if (at.auc.value) continue;
      auto reason =
          std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == at.auc.why; });
      if (reason == reasons.end()) reason = reasons.insert(reason, {at.auc.why, {}});
      if (reason->second.empty() || reason->second.back() != signal.signal->name)
        reason->second.push_back(signal.signal->name);
    }
  }
  std::string text;
  for (const auto& [why, names] : reasons)
    text += wrapped(names.size() == p.signals.size()
                        ? fmt::format("No AUC: {}", why)
                        : fmt::format("No AUC of {}: {}", fmt::join(names, ", "), why),
                    stdout) +
            "\n";
  if (!text.empty()) print_out("\n{}", text);
}

void print_text(const Predictors& p, const analysis::PredictorRuns& runs) {
  print_out("{} {}runs of {} configurations, {} failed", p.runs, p.options.forced ? "forced " : "", p.groups,
            p.failed);
  if (p.onset_unknown > 0) print_out(", {} of them without a known onset", p.onset_unknown);
  print_out("\n");
  for (const auto& [why, n] : runs.left_out)
    print_out("Left out: {} run{}, {}\n", n, n == 1 ? "" : "s", printable(why));
  if (p.not_judged > 0)
    print_out("Not judged: {} {}\n", p.not_judged,
              p.options.forced ? "natural runs; leave out --forced for them"
                               : "runs forced by [change]; --forced judges them instead");
  for (std::size_t i = 0; i < p.at.size(); ++i) {
    if (p.at[i].begun > 0)
      print_out("By {}: {} failing runs are past their onset, {} of them non-finite\n",
                p.options.at[i].text(), p.at[i].begun, p.at[i].nonfinite);
  }
  print_by_horizon(p, "AUC [95 %] of the signal then, pairs of one size; 0.5 is chance", &SignalAt::auc);
  print_out("{}\n",
            wrapped("A run counts as failed only above the best learning rate, so the AUC of lr, and of what "
                    "follows it, is partly true by definition; pairs of one learning rate are free of that.",
                    stdout));
  print_by_horizon(p, "The same less the AUC of the learning rate, in hundredths", &SignalAt::minus_lr,
                   points);
  print_by_horizon(p, "AUC without the failing runs past their onset", &SignalAt::ahead);
  print_by_horizon(p, "AUC between runs of one size and learning rate", &SignalAt::same_lr);
  print_by_horizon(p, "Between seeds of one configuration", &SignalAt::same_arm);
  print_lead(p);
  print_missing(p);
  if (p.bound.min_slack && p.bound.median_above) {
    print_out(
        "\nEntropy bound: smallest slack {:.3g} nat; entropy lies {:.3g} nat above it (median of {} runs)\n",
        *p.bound.min_slack, *p.bound.median_above, p.bound.runs);
  }
  print_sharpness(p);
}

struct PredictorsArguments {
  std::vector<std::string> folders, at, sharpness;
  bool forced = false, json = false;
};

int run(const PredictorsArguments& args) {
  analysis::PredictorOptions options;
  options.forced = args.forced;
  if (!args.at.empty()) options.at.clear();
  for (const std::string& text : args.at) options.at.push_back(analysis::parse_horizon(text));
  std::vector<analysis::SharpnessPoint> sharpness;
  for (const std::string& file : args.sharpness) {
    const auto points = analysis::read_sharpness(file);
    sharpness.insert(sharpness.end(), points.begin(), points.end());
  }
  const auto runs = analysis::load_trajectories({args.folders.begin(), args.folders.end()});
  tell_damage(runs.damage);
  if (runs.runs.empty()) {
    std::string why;
    for (const auto& [reason, n] : runs.left_out)
      why += fmt::format("{}{} {}", why.empty() ? "" : "; ", n, reason);
    throw InputError("no run there has an outcome: " + why +
                     "; give folders of sweeps over the learning rate that have ended");
  }
  if (std::none_of(runs.runs.begin(), runs.runs.end(),
                   [&](const auto& run) { return run.forced == args.forced; }))
    throw InputError(args.forced ? "no run there was forced by [change]; leave out --forced"
                                 : "all runs there were forced by [change]; --forced judges them");
  const Predictors result = analysis::find_predictors(runs.runs, options, sharpness);
  if (args.json) print_out("{}\n", json_text(analysis::predictors_json(result, runs), 2));
  else print_text(result, runs);
  return kExitFinished;
}

}  // namespace

void add_predictors(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<PredictorsArguments>();
  CLI::App* command = app.add_subcommand("predictors", "Which signal foretells failure, and how early");
  command->add_option("DIR", args->folders, "Folders of sweeps, or of runs")->required();
  command->add_option("--at", args->at, "When to look: steps, or shares of training (5%,10%,25%,50%)")
      ->type_name("LIST")
      ->delimiter(',');
  command->add_flag("--forced", args->forced,
                    "Judge the runs with a [change] in mid-training, by thresholds of the natural ones");
  command
      ->add_option("--sharpness", args->sharpness,
                   "What `evenkeel probe sharpness --step all --json` printed: correlate the signals with it")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  add_json_flag(*command, args->json);
  command->footer(
      "Examples:\n  evenkeel predictors runs/s\n  evenkeel predictors runs/a runs/b --at 20,10% --json\n"
      "docs/formats/predictors.md says what every number is.");
  command->callback([args, &exit_code] { exit_code = run(*args); });
}

}  // namespace evenkeel::cli
