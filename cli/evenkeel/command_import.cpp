#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/runs/import.h"

namespace evenkeel::cli {
namespace {

struct Arguments {
  std::string file, format = "csv", out;
  std::vector<std::string> map;
  bool json = false;
};

constexpr const char* kExamples =
    "Fields of --map: loss (needed), run, step, train_loss, lr, params, size, seed, arm, l0, h1.\n"
    "A table of final losses, one row per run, is enough for `evenkeel analyze`; sensitivity needs l0 too.\n"
    "With step, rows of the same run are its records and the last step gives the final loss.\n"
    "Examples:\n"
    "  evenkeel import losses.csv --map loss=final,lr=lr,size=model,seed=seed,arm=variant,l0=init --out "
    "runs/theirs\n"
    "  evenkeel import log.csv --map run=name,step=step,loss=val_loss,lr=peak_lr,size=size --out runs/theirs";

}  // namespace

void add_import(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("import", "Make run directories from a table of foreign losses");
  command->add_option("FILE", args->file, "Table with a header line")->required();
  command->add_option("--format", args->format, "Format of FILE")
      ->check(CLI::IsMember({"csv"}))
      ->capture_default_str();
  command->add_option("--map", args->map, "Which column is what: field=column, joined by commas or repeated")
      ->type_name("FIELD=COLUMN,...")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1)
      ->required();
  command->add_option("--out", args->out, "Folder for the runs, absent or empty")
      ->required()
      ->type_name("DIR");
  add_json_flag(*command, args->json);
  command->footer(kExamples);
  command->callback([args, &exit_code] {
    const auto summary = runs::import_csv(args->file, runs::parse_import_map(args->map), args->out);
    if (args->json) {
      const Json document = {{"out", args->out},
                             {"rows", summary.rows},
                             {"runs", summary.runs},
                             {"nonfinite", summary.nonfinite}};
      fmt::print("{}\n", json_text(document, 2));
    } else {
      fmt::print("{} runs from {} rows in {} ({} not finite); next: evenkeel analyze {}\n", summary.runs,
                 summary.rows, args->out, summary.nonfinite, args->out);
    }
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
