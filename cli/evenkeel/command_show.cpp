#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/terminal.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/progress.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::cli {
namespace {

/// Everything there is to say about one run.
struct Shown {
  runs::Cell cell;
  runs::Manifest manifest;
  runs::Progress progress;
  Json last = nullptr;  ///< newest line of metrics.jsonl
  std::vector<Json> events;
  std::vector<std::pair<fs::path, std::string>>
      checkpoints;  ///< folder; what is wrong with it, "" when whole
};

fs::path one_run(const fs::path& folder) {
  const auto found = runs::find_runs(folder);
  if (found.size() > 1) {
    throw InputError(fmt::format("{} holds {} runs; give one of them: `evenkeel ls {}` lists them",
                                 folder.string(), found.size(), folder.string()));
  }
  return found.front();
}

Shown look_at(const fs::path& run) {
  Shown shown{runs::load_cell(run), runs::read_manifest(run), {}, nullptr, {}, {}};
  shown.progress = runs::progress_of(shown.cell);
  const auto metrics = runs::read_records(run / "metrics.jsonl");
  if (!metrics.empty()) shown.last = metrics.back();
  shown.events = runs::read_records(run / "events.jsonl");
  for (const fs::path& folder : runs::list_checkpoints(run)) {
    std::string why;
    try {
      runs::read_checkpoint_state(folder);
    } catch (const std::runtime_error& e) {
      why = e.what();
    }
    shown.checkpoints.emplace_back(folder, why);
  }
  return shown;
}

Json shown_json(const Shown& s) {
  Json checkpoints = Json::array();
  for (const auto& [folder, why] : s.checkpoints) {
    checkpoints.push_back({{"folder", folder.string()}, {"whole", why.empty()}});
    if (!why.empty()) checkpoints.back()["why"] = why;
  }
  const Json manifest = read_json(s.cell.run / "manifest.json");
  const auto part = [&](const char* key) {
    return manifest.contains(key) ? manifest.at(key) : Json(nullptr);
  };
  Json json = runs::summary_json(s.cell, s.progress);
  for (const char* key : {"config", "imported", "data", "versions", "environment"}) json[key] = part(key);
  json["result"] = s.cell.result ? runs::result_json(*s.cell.result) : Json(nullptr);
  json["last"] = s.last;
  json["events"] = s.events;
  json["checkpoints"] = checkpoints;
  json["damage"] = s.cell.damage;
  return json;
}

std::string nat(std::optional<double> value) {
  return value ? fmt::format("{:.4f}", *value) : "-";
}

std::string nat_or_dash(double value) {
  return std::isnan(value) ? "-" : nat(value);
}

std::string text_of(const Json& value) {
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

// What was not left at its default; --json has everything.
std::vector<std::pair<std::string, std::string>> chosen_settings(const Json& config) {
  std::vector<std::pair<std::string, std::string>> chosen;
  const Settings defaults = settings_from_json(to_json(Experiment{}), "defaults");
  for (const auto& [path, setting] : settings_from_json(config, "manifest")) {
    const auto it = defaults.find(path);
    if (it == defaults.end() || it->second.value != setting.value)
      chosen.emplace_back(path, text_of(setting.value));
  }
  return chosen;
}

void print_rows(const char* heading, const std::vector<std::pair<std::string, std::string>>& rows,
                const Style& style) {
  if (rows.empty()) return;
  print_out("\n{}\n", style.bold(heading));
  std::size_t width = 0;
  for (const auto& [key, value] : rows) width = std::max(width, key.size());
  for (const auto& [key, value] : rows) print_out("  {:{}}  {}\n", printable(key), width, printable(value));
}

// How the run computes, in one line; "" when the manifest does not say.
std::string ops_text(const Json& environment) {
  if (!environment.is_object() || !environment.contains("ops")) return "";
  const Json& ops = environment.at("ops");
  std::string text = ops.value("path", "");
  const bool fused = text == "fused";
  if (ops.contains("tile")) text += fmt::format(" ({})", text_of(ops.at("tile")));
  if (fused && ops.contains("each")) {
    for (const auto& [op, use] : ops.at("each").items())
      if (use.value("path", "") == "plain") text += fmt::format(", {} plain: {}", op, use.value("why", ""));
  }
  return text + (ops.value("thread_invariant", false) ? "; the same bits for any number of threads" : "");
}

std::string standing_text(const Shown& s) {
  const runs::Progress& p = s.progress;
  if (s.cell.result) {
    const auto& relapse = s.cell.result->relapse_step;
    return fmt::format("{} after {} steps, validation loss {} nat{}", p.state, p.step, nat(p.loss),
                       relapse ? fmt::format("; relapsed at step {}", *relapse) : "");
  }
  std::string text = fmt::format("{} at step {} of {}, last training loss {}, last validation loss {} nat",
                                 p.state, p.step, p.steps, nat(p.train_loss), nat(p.loss));
  if (p.state == "interrupted") text += "; the command that started it goes on where it stopped";
  return text;
}

void print_shown(const Shown& s) {
  const Style style(stdout);
  print_out("{}\n{}\n", style.bold(s.cell.run.string()), printable(standing_text(s)));
  std::vector<std::pair<std::string, std::string>> facts{
      {"config hash", s.cell.config_hash},
      {"size", fmt::format("{}{}", s.cell.size.empty() ? "-" : s.cell.size,
                           s.cell.params < 0 ? "" : fmt::format(", {} parameters in blocks", s.cell.params))},
      {"learning rate", std::isnan(s.cell.lr) ? "-" : fmt::format("{:g}", s.cell.lr)},
      {"seed", fmt::format("{}", s.cell.seed)},
      {"data", s.manifest.data.name},
      {"loss at start l0", nat_or_dash(s.cell.l0)},
      {"unigram entropy H1", nat_or_dash(s.cell.h1)},
      {"known floor", nat_or_dash(s.cell.floor)}};
  if (const std::string ops = ops_text(s.manifest.environment); !ops.empty()) facts.emplace_back("ops", ops);
  if (s.manifest.imported) facts.emplace_back("imported from", s.manifest.imported->source);
  print_rows("Run", facts, style);
  print_rows("Settings not at their default", chosen_settings(s.cell.config), style);
  std::vector<std::pair<std::string, std::string>> last, profile, events, checkpoints;
  if (s.last.is_object()) {
    for (const auto& [key, value] : s.last.items()) {
      const telemetry::Metric* metric = telemetry::find_metric(key);
      last.emplace_back(key,
                        text_of(value) + (metric && *metric->unit ? fmt::format(" {}", metric->unit) : ""));
    }
  }
  print_rows("Last record", last, style);
  for (const Json& event : s.events) {
    for (const Json& sublayer : event.value("sublayers", Json::array())) {
      profile.emplace_back(text_of(sublayer.at("site")),
                           fmt::format("omega {}, variance of the branch {}", text_of(sublayer.at("omega")),
                                       text_of(sublayer.at("branch_variance"))));
    }
    std::string what = text_of(event.value("kind", Json("?")));
    for (const auto& [key, value] : event.items()) {
      if (key != "step" && key != "kind" && key != "sublayers")
        what += fmt::format(" {}={}", key, text_of(value));
    }
    events.emplace_back(fmt::format("step {}", text_of(event.value("step", Json(nullptr)))), what);
  }
  print_rows("Admin's profile", profile, style);
  print_rows("Events", events, style);
  for (const auto& [folder, why] : s.checkpoints) {
    checkpoints.emplace_back(folder.filename().string(), why.empty() ? "whole" : why);
  }
  print_rows("Checkpoints", checkpoints, style);
}

struct ShowArguments {
  std::string run;
  bool json = false;
};

}  // namespace

void add_show(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ShowArguments>();
  CLI::App* command =
      app.add_subcommand("show", "Show one run: settings, result or progress, events, checkpoints");
  command->add_option("RUN", args->run, "Folder of the run")->required();
  add_json_flag(*command, args->json);
  command->footer("Examples:\n  evenkeel show runs/a\n  evenkeel show runs/a --json");
  command->callback([args, &exit_code] {
    const Shown shown = look_at(one_run(args->run));
    tell_damage(shown.cell.damage);
    if (args->json) print_out("{}\n", json_text(shown_json(shown), 2));
    else print_shown(shown);
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
