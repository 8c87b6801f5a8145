#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/import.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/sweep/process.h"
#include "evenkeel/sweep/sweep_file.h"

namespace evenkeel::cli {
namespace {

struct ImportArguments {
  SpecOptions spec;
  std::string file, format, out;
  std::vector<std::string> map;
  bool json = false;
};

constexpr const char* kImportExamples =
    "A table of losses becomes run directories that analyze and report read. Fields of --map: loss (needed), "
    "run, step, train_loss, lr, params, size, seed, arm, l0, h1.\n"
    "A table of final losses, one row per run, is enough for `evenkeel analyze`; sensitivity needs l0 too.\n"
    "With step, rows of the same run are its records and the last step gives the final loss; a run diverged "
    "when its losses are not finite to the last row.\n"
    "A safetensors file of plain weights becomes the start of the run that SPEC and --set describe; with\n"
    "sigma-reparam gamma starts at sigma(W). `evenkeel train` with the same words and --out trains it.\n"
    "Examples:\n"
    "  evenkeel import losses.csv --map loss=final,lr=lr,size=model,seed=seed,arm=variant,l0=init --out "
    "runs/theirs\n"
    "  evenkeel import log.csv --map run=name,step=step,loss=val_loss,lr=peak_lr,size=size --out "
    "runs/theirs\n"
    "  evenkeel import model.safetensors run.toml --set interventions.sigma_reparam=on --out runs/a";

bool holds_weights(const ImportArguments& args) {
  return args.format == "safetensors" || (args.format.empty() && args.file.ends_with(".safetensors"));
}

int import_weights(const ImportArguments& args) {
  if (!args.map.empty())
    throw InputError("--map is for tables, and " + args.file + " holds weights; leave it out");
  if (!fs::is_regular_file(args.file))
    throw InputError(args.file + " is not a file; give a safetensors file of plain weights");
  runs::read_safetensors(args.file);  // whole, before anything is made
  sweep::Cell cell = args.spec.plan_one("import");
  cell.experiment.train.initial_weights = file_hash(args.file);
  cell.hash = config_hash(cell.experiment);
  sweep::find_trainer();
  make_folder(args.out);
  sweep::prepare_run(args.out, cell);
  std::vector<std::string> words{"import", args.file, args.out};
  if (args.json) words.push_back("--json");
  return sweep::run_trainer(words, cell.experiment.train.threads);
}

int import_table(const ImportArguments& args) {
  if (args.map.empty())
    throw InputError(
        "--map is missing: it says which column of the table is what, as in --map loss=val,lr=lr");
  if (!args.spec.spec_file.empty() || !args.spec.sets.empty())
    throw InputError("SPEC and --set describe a run for weights, and " + args.file +
                     " is read as a table; leave them out");
  const auto summary = runs::import_csv(args.file, runs::parse_import_map(args.map), args.out);
  if (summary.isolated_nonfinite > 0) {
    const std::int64_t n = summary.isolated_nonfinite;
    print_err(
        "evenkeel: {} {} not finite with a finite one after it in the same run: counted as not evaluated, "
        "not as a divergence\n",
        n, n == 1 ? "loss is" : "losses are");
  }
  if (summary.open_line > 0) {
    print_err(
        "evenkeel: line {} of {} has no line end: if the file was cut off there, its last value is wrong; "
        "compare it with the source\n",
        summary.open_line, args.file);
  }
  if (args.json) {
    Json document = {{"out", args.out},
                     {"rows", summary.rows},
                     {"runs", summary.runs},
                     {"nonfinite_runs", summary.nonfinite},
                     {"isolated_nonfinite", summary.isolated_nonfinite}};
    if (summary.open_line > 0) document["open_line"] = summary.open_line;
    print_out("{}\n", json_text(document, 2));
  } else {
    print_out("{} runs from {} rows in {} ({} not finite); next: evenkeel analyze {}\n", summary.runs,
              summary.rows, args.out, summary.nonfinite, args.out);
  }
  return kExitFinished;
}

}  // namespace

void add_import(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ImportArguments>();
  CLI::App* command =
      app.add_subcommand("import", "Make run directories from foreign losses, or a run from weights");
  command->add_option("FILE", args->file, "Table with a header line, or safetensors file")->required();
  args->spec.add_to(*command, false);
  command->add_option("--format", args->format, "Format of FILE (by its ending; else csv)")
      ->check(CLI::IsMember({"csv", "safetensors"}));
  command->add_option("--map", args->map, "Which column is what: field=column, joined by commas or repeated")
      ->type_name("FIELD=COLUMN,...")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1);
  command->add_option("--out", args->out, "Folder for the runs, absent or empty")
      ->required()
      ->type_name("DIR");
  add_json_flag(*command, args->json);
  command->footer(kImportExamples);
  command->callback(
      [args, &exit_code] { exit_code = holds_weights(*args) ? import_weights(*args) : import_table(*args); });
}

}  // namespace evenkeel::cli
