// evenkeel sweep: every cell of a study, as many at a time as there are cores.
#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/sweep_session.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kSweepExamples =
    "Examples:\n"
    "  evenkeel sweep studies/qk_norm_text/study.toml --set data.path=my_text.txt --out runs/text\n"
    "  evenkeel sweep study.toml --out runs/s --jobs 4\n"
    "  evenkeel sweep study.toml --out runs/s --refine 2        boundary LRs known four times as well\n"
    "  evenkeel sweep study.toml --out runs/s --set 'sweep.train.seed=[1, 2, 3]'   more seeds, same folder\n"
    "The same command again runs only what is missing: after Ctrl-C, a crash, or a change of the study.";

}  // namespace

void add_sweep(CLI::App& app, int& exit_code) {
  struct SweepArguments {
    SpecOptions spec;
    std::string out;
    int jobs = 0, retries = 1, refine = 0;
    bool json = false;
  };
  auto given = std::make_shared<SweepArguments>();
  CLI::App* command = app.add_subcommand("sweep", "Run every cell of a study; again: only what is missing");
  command->footer(kSweepExamples);
  given->spec.add_to(*command, true);
  command->add_option("--out", given->out, "Folder of the sweep")->type_name("DIR")->required();
  command
      ->add_option("--jobs", given->jobs,
                   "Cells at a time. Without it: one single-threaded cell per usable core")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command->add_option("--retries", given->retries, "How often a crashed cell is started again")
      ->type_name("N")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  CLI::Option* refine =
      command
          ->add_option("--refine", given->refine,
                       "After the grid, halve each seed's bracket of the boundary LR so often, a run a time. "
                       "Without it: what the study says, or this folder was asked for before")
          ->type_name("K")
          ->check(CLI::Range(0, 10));
  add_json_flag(*command, given->json);
  command->callback([given, refine, &exit_code] {
    SweepRequest request;
    request.spec = sweep_from(settings_from_toml(given->spec.spec_file, {"sweep"}), given->spec.overrides());
    request.out = given->out;
    request.jobs = given->jobs;
    request.retries = given->retries;
    if (refine->count() > 0) request.refine = given->refine;
    request.json = given->json;
    exit_code = run_sweep(request);
  });
}

}  // namespace evenkeel::cli
