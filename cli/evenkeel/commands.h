// The commands of `evenkeel`, one file each: command_<name>.cpp. A command adds itself to the app with help
// and examples and, when chosen, runs inside the callback and sets `exit_code`. Errors are thrown
// (base/error.h); main turns them into one sentence on standard error and the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "evenkeel/config/settings.h"
#include "evenkeel/sweep/plan.h"

namespace evenkeel::cli {

void add_demo(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);
void add_sweep(CLI::App& app, int& exit_code);
void add_ls(CLI::App& app, int& exit_code);
void add_show(CLI::App& app, int& exit_code);
void add_analyze(CLI::App& app, int& exit_code);
void add_probe(CLI::App& app, int& exit_code);
void add_predictors(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_import(CLI::App& app, int& exit_code);
void add_verify(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_translate(CLI::App& app, int& exit_code);
void add_evaluate(CLI::App& app, int& exit_code);
void add_score(CLI::App& app, int& exit_code);
void add_data(CLI::App& app, int& exit_code);
void add_config(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);

/// Options that commands share; each takes the same name everywhere.
struct SpecOptions {
  std::string spec_file;          ///< TOML; may be empty where the command allows it
  std::vector<std::string> sets;  ///< --set a.b=v, in order
  /// --device, --precision, --ops, --threads: short for --set train.device=... and so on.
  std::string device, precision, ops;
  std::int64_t threads = 0;

  /// Adds SPEC (required or not), --set and the short forms above.
  void add_to(CLI::App& command, bool spec_required);
  /// The settings given on the command line.
  Settings overrides() const;
  /// The only run that file and settings describe; `command` is named where they describe a sweep.
  sweep::Cell plan_one(const std::string& command) const;
};

/// Adds --json. Commands that have it print one JSON object on standard output and nothing else there.
void add_json_flag(CLI::App& command, bool& json);

}  // namespace evenkeel::cli
