#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kExportExamples =
    "--fold computes what treatments make of the weights (gamma / sigma W; Admin's omega) and writes a plain "
    "model.\n"
    "Examples:\n"
    "  evenkeel export runs/a --fold -o model.safetensors\n"
    "  evenkeel export runs/a --step 150 -o everything.safetensors";

struct ExportArguments {
  std::string run, out;
  std::int64_t step = -1, average = 1;
  bool fold = false, json = false;
};

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ExportArguments>();
  CLI::App* command = app.add_subcommand("export", "Write a run's weights as a safetensors file");
  command->add_option("RUN", args->run, "Folder of the run")->required();
  command->add_option("-o,--out", args->out, "File to write")->required()->type_name("FILE");
  command->add_option("--step", args->step, "Step of the checkpoint (the newest)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  command->add_option("--average", args->average, "Mean over so many checkpoints up to that one (1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_flag("--fold", args->fold, "Fold treatments of the weights into plain weights");
  add_json_flag(*command, args->json);
  command->footer(kExportExamples);
  command->callback([args, &exit_code] {
    std::vector<std::string> words{"export", args->run, args->out};
    if (args->step >= 0) words.insert(words.end(), {"--step", std::to_string(args->step)});
    if (args->average > 1) words.insert(words.end(), {"--average", std::to_string(args->average)});
    if (args->fold) words.push_back("--fold");
    if (args->json) words.push_back("--json");
    exit_code = sweep::run_trainer(words, 1);
  });
}

}  // namespace evenkeel::cli
