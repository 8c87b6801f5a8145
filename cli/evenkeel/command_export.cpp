#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/sweep/process.h"
#include "evenkeel/tables/table_sink.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kExportExamples =
    "--fold computes what treatments make of the weights (gamma / sigma W; Admin's omega) and writes a plain "
    "model.\n"
    "--to writes what runs recorded as tables instead: every metric at every step, per head where it has "
    "heads.\n"
    "Examples:\n"
    "  evenkeel export runs/demo --to sqlite -o demo.sqlite\n"
    "  evenkeel export runs/demo --to tensorboard -o logs/demo\n"
    "  evenkeel export runs/a --fold -o model.safetensors\n"
    "  evenkeel export runs/a --step 150 -o everything.safetensors";

struct ExportArguments {
  std::string run, out, to;
  std::int64_t step = -1, average = 1;
  bool fold = false, json = false;
};

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const tables::Format& format : tables::formats()) names.emplace_back(format.name);
  return names;
}

std::string format_help() {
  std::string help = "Tables of every run in DIR, in place of weights:";
  for (const tables::Format& format : tables::formats())
    help += fmt::format(" {} ({})", format.name, format.what);
  return help;
}

void export_tables(const ExportArguments& args) {
  const auto all = tables::formats();
  const auto format = std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.name == args.to; });
  const auto sink = format->make(args.out);
  const tables::Exported done = tables::export_runs(args.run, *sink);
  tell_damage(done.damage);
  if (args.json) {
    print_out(
        "{}\n",
        json_text({{"out", args.out}, {"runs", done.runs}, {"values", done.values}, {"events", done.events}},
                  2));
  } else {
    print_out("{}: {} runs, {} values, {} events\n", args.out, done.runs, done.values, done.events);
  }
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ExportArguments>();
  CLI::App* command = app.add_subcommand(
      "export", "Write a run's weights as a safetensors file, or what runs recorded as tables");
  command->add_option("DIR", args->run, "Folder of the run; with --to of a sweep or of runs")->required();
  command->add_option("-o,--out", args->out, "File to write, or folder")->required()->type_name("FILE");
  CLI::Option* to =
      command->add_option("--to", args->to, format_help())->check(CLI::IsMember(format_names()));
  command->add_option("--step", args->step, "Step of the checkpoint (the newest)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000))
      ->excludes(to);
  command->add_option("--average", args->average, "Mean over so many checkpoints up to that one (1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->excludes(to);
  command->add_flag("--fold", args->fold, "Fold treatments of the weights into plain weights")->excludes(to);
  add_json_flag(*command, args->json);
  command->footer(kExportExamples);
  command->callback([args, &exit_code] {
    if (!args->to.empty()) {
      export_tables(*args);
      exit_code = kExitFinished;
      return;
    }
    std::vector<std::string> words{"export", args->run, args->out};
    if (args->step >= 0) words.insert(words.end(), {"--step", std::to_string(args->step)});
    if (args->average > 1) words.insert(words.end(), {"--average", std::to_string(args->average)});
    if (args->fold) words.push_back("--fold");
    if (args->json) words.push_back("--json");
    exit_code = sweep::run_trainer(words, 1);
  });
}

}  // namespace evenkeel::cli
