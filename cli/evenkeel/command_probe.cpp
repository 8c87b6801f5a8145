#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProbeExamples =
    "PROBE is one of\n"
    "  sharpness      largest eigenvalue of the Hessian of the training loss, plain and as Adam follows it,\n"
    "                 beside the edge of stability (2/lr; 38/lr at beta1 0.9)\n"
    "  spectra        sigma and stable rank of every matrix, sigma(W_Q W_K^T) and entropy slack per head\n"
    "  dependency     share of every branch in the residual stream after every sub-layer\n"
    "  output-change  change of that stream when all matrices move a little: the curve over depth\n"
    "  gradients      gradients at every sub-layer and of every matrix, beside the optimiser's updates\n"
    "  coordinates    trains models of several widths for some steps: what grows with width, and whether a\n"
    "                 learning rate transfers\n"
    "A run's newest checkpoint is looked at, or those of --step; of a study file the model at\n"
    "initialisation. Nothing is written to a run.\n"
    "Examples:\n"
    "  evenkeel probe sharpness runs/a\n"
    "  evenkeel probe sharpness runs/s --step all --json > sharpness.json\n"
    "  evenkeel predictors runs/s --sharpness sharpness.json\n"
    "  evenkeel probe spectra study.toml --set interventions.sigma_reparam=on\n"
    "  evenkeel probe output-change --set arch.depth=50 --set arch.residual=admin --seeds 10\n"
    "  evenkeel probe coordinates study.toml --widths 32,64,128,256\n"
    "docs/formats/probe.md says what every number is.";

struct ProbeArguments {
  std::string probe, step, precision = "double", change = "random";
  std::vector<std::string> what, sets;
  std::int64_t batch = 8, iterations = 40, threads = 0, seeds = 0, steps = 30;
  std::string widths = "32,64,128,256";
  double size = 0;
  bool json = false;
};

bool is_step(const std::string& text) {
  return text == "all" ||
         (!text.empty() && text.size() < 18 && text.find_first_not_of("0123456789") == std::string::npos);
}

std::set<std::int64_t> widths_of(const std::string& list) {
  std::set<std::int64_t> widths;
  std::size_t count = 0;
  for (std::size_t start = 0; start <= list.size(); ++count) {
    const std::size_t end = std::min(list.find(',', start), list.size());
    std::int64_t width = 0;
    const auto [last, error] = std::from_chars(list.data() + start, list.data() + end, width);
    if (error != std::errc() || last != list.data() + end || width < 2 || width > (1 << 16)) {
      throw InputError(
          fmt::format("--widths must be widths of 2 to 65536 joined by commas, such as 32,64,128, got \"{}\"",
                      printable(list)));
    }
    widths.insert(width);
    start = end + 1;
  }
  if (widths.size() < 2 || widths.size() != count)
    throw InputError(fmt::format(
        "--widths needs two widths at least, each once, such as 32,64,128, got \"{}\"", printable(list)));
  return widths;
}

/// What makes a model at initialisation: a study file or settings.
bool names_no_run(const ProbeArguments& args) {
  if (args.what.empty() && !args.sets.empty()) return true;
  return args.what.size() == 1 && fs::is_regular_file(args.what[0]);
}

int probe_initial(const ProbeArguments& args, std::vector<std::string> words) {
  if (!args.step.empty())
    throw InputError("--step is for runs, and a study file gives the model at initialisation; leave it out");
  SpecOptions spec;
  if (!args.what.empty()) spec.spec_file = args.what[0];
  spec.sets = args.sets;
  const sweep::Cell cell = spec.plan_one("probe");
  const std::int64_t threads = args.threads > 0 ? args.threads : cell.experiment.train.threads;
  words.insert(words.end(),
               {"--threads", std::to_string(threads), "--experiment", json_text(to_json(cell.experiment))});
  return sweep::run_trainer(words, threads);
}

int probe_runs(const ProbeArguments& args, std::vector<std::string> words) {
  if (!args.sets.empty())
    throw InputError("--set makes a model at initialisation, and " + args.what[0] +
                     " is a run, whose settings are known; leave one of them out");
  for (const std::string& folder : args.what) runs::find_runs(folder);
  const runs::Manifest first = runs::read_manifest(runs::find_runs(args.what[0]).front());
  const std::int64_t threads = args.threads > 0 ? args.threads : first.experiment.train.threads;
  words.insert(words.end(), {"--threads", std::to_string(threads)});
  if (!args.step.empty()) words.insert(words.end(), {"--step", args.step});
  words.push_back("--");
  words.insert(words.end(), args.what.begin(), args.what.end());
  return sweep::run_trainer(words, threads);
}

}  // namespace

void add_probe(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ProbeArguments>();
  CLI::App* command = app.add_subcommand(
      "probe", "Look into a model: sharpness, spectra, dependency, output change, gradients, coordinates");
  command->add_option("PROBE", args->probe, "Which probe, below")->required();
  command->add_option("WHAT", args->what, "Folders of runs or sweeps, or a study file (TOML)");
  command->add_option("--step", args->step, "Checkpoint of this step, or all of them (the newest)")
      ->type_name("N|all");
  command->add_option("--batch", args->batch, "Sequences of training data to measure on (8)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--iterations", args->iterations, "Of Lanczos in sharpness, at most (40)")
      ->type_name("N")
      ->check(CLI::Range(1, 10000));
  command->add_option("--change", args->change, "In output-change: random or gradient, the sign (random)")
      ->type_name("SIGN")
      ->check(CLI::IsMember({"random", "gradient"}));
  command->add_option("--size", args->size, "Of that change (1e-4 random, 1e-6 gradient)")
      ->type_name("X")
      ->check(CLI::PositiveNumber);
  command->add_option("--widths", args->widths, "In coordinates: widths to train (32,64,128,256)")
      ->type_name("LIST");
  command->add_option("--steps", args->steps, "In coordinates: steps to train (30)")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  command->add_option("--seeds", args->seeds, "Random changes to average over (1), or trainings (3)")
      ->type_name("N")
      ->check(CLI::Range(1, 10000));
  command->add_option("--precision", args->precision, "double or fp32 (double)")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"double", "fp32"}));
  command->add_option("--set", args->sets, "With or without a study file: set any field")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1);
  command->add_option("--threads", args->threads, "Threads (those of the run)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  add_json_flag(*command, args->json);
  command->footer(kProbeExamples);
  command->callback([args, &exit_code] {
    if (!args->step.empty() && !is_step(args->step))
      throw InputError(fmt::format("--step must be a number of updates or \"all\", got \"{}\"", args->step));
    if (args->what.empty() && args->sets.empty())
      throw InputError("probe needs something to look into: folders of runs, a study file or --set");
    if (args->change == "gradient" && args->seeds > 1)
      throw InputError(
          "--seeds is for random changes, and the gradient's sign is one; leave one of them out");
    const std::set<std::int64_t> widths = widths_of(args->widths);
    std::vector<std::string> words{"probe",        args->probe,
                                   "--batch",      std::to_string(args->batch),
                                   "--iterations", std::to_string(args->iterations),
                                   "--precision",  args->precision,
                                   "--change",     args->change,
                                   "--seeds",      std::to_string(args->seeds),
                                   "--steps",      std::to_string(args->steps),
                                   "--widths",     fmt::format("{}", fmt::join(widths, ","))};
    if (args->size > 0) words.insert(words.end(), {"--size", fmt::format("{}", args->size)});
    if (args->json) words.push_back("--json");
    exit_code =
        names_no_run(*args) ? probe_initial(*args, std::move(words)) : probe_runs(*args, std::move(words));
  });
}

}  // namespace evenkeel::cli
