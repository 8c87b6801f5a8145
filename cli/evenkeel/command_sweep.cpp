// evenkeel sweep: every cell of a study, as many at a time as there are cores.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/sweep_session.h"
#include "evenkeel/base/error.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kSweepExamples =
    "Examples:\n"
    "  evenkeel sweep studies/qk_norm_text/study.toml --set data.path=my_text.txt --out runs/text\n"
    "  evenkeel sweep study.toml --out runs/s --jobs 4\n"
    "  evenkeel sweep study.toml --out runs/s --refine 2        boundary LRs known four times as well\n"
    "  evenkeel sweep study.toml --out runs/s --set 'sweep.train.seed=[1, 2, 3]'   more seeds, same folder\n"
    "  evenkeel sweep study.toml --out /shared/s --shard 2/4     one of four processes or machines that "
    "share the folder\n"
    "The same command again runs only what is missing: after Ctrl-C, a crash, or a change of the study.";

/// A whole number from the environment; nullopt when it is not set.
std::optional<int> variable(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return std::nullopt;
  int value = 0;
  const char* end = text + std::strlen(text);
  if (const auto read = std::from_chars(text, end, value);
      read.ec != std::errc() || read.ptr != end || value < 0)
    throw InputError(fmt::format("{} must be a whole number, got \"{}\"", name, text));
  return value;
}

SweepRequest::Shard shard_of_environment(double lease_s) {
  if (const auto task = variable("SLURM_ARRAY_TASK_ID")) {
    const int first = variable("SLURM_ARRAY_TASK_MIN").value_or(0);
    return {*task - first, std::max(variable("SLURM_ARRAY_TASK_COUNT").value_or(1), *task - first + 1),
            lease_s};
  }
  if (const auto rank = variable("SKYPILOT_NODE_RANK"))
    return {*rank, std::max(variable("SKYPILOT_NUM_NODES").value_or(1), *rank + 1), lease_s};
  // Kubernetes does not say how many there are; cells that others have begun are passed over anyway.
  if (const auto index = variable("JOB_COMPLETION_INDEX")) return {*index, *index + 1, lease_s};
  throw InputError(
      "--shard auto found no array variable (SLURM_ARRAY_TASK_ID, SKYPILOT_NODE_RANK, JOB_COMPLETION_INDEX); "
      "start it "
      "in such a job, or give --shard i/n");
}

SweepRequest::Shard shard_from(const std::string& text, double lease_s) {
  if (text == "auto") return shard_of_environment(lease_s);
  int index = 0, count = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, index);
  const bool slash = first.ec == std::errc() && first.ptr != end && *first.ptr == '/';
  const auto second = slash ? std::from_chars(first.ptr + 1, end, count) : first;
  if (!slash || second.ec != std::errc() || second.ptr != end || count < 1 || index < 1 || index > count ||
      count > 100000)
    throw InputError(
        fmt::format("--shard must be i/n with i from 1 to n, such as 2/4, or auto, got \"{}\"", text));
  return {index - 1, count, lease_s};
}

}  // namespace

void add_sweep(CLI::App& app, int& exit_code) {
  struct SweepArguments {
    SpecOptions spec;
    std::string out;
    int jobs = 0, retries = 1, refine = 0;
    std::string shard;
    double lease = 60;
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
  CLI::Option* shard =
      command
          ->add_option(
              "--shard", given->shard,
              "Which of several processes this is that run the sweep in one folder, on one machine or many: "
              "i/n, from "
              "1; auto takes it from the array variables of Slurm, SkyPilot or a Kubernetes indexed job")
          ->type_name("I/N");
  command
      ->add_option(
          "--lease", given->lease,
          "With --shard: seconds after which a shard that was not heard of loses its cells to the others")
      ->type_name("S")
      ->check(CLI::Range(1.0, 86400.0))
      ->needs(shard)
      ->capture_default_str();
  add_json_flag(*command, given->json);
  command->callback([given, refine, &exit_code] {
    SweepRequest request;
    request.spec = sweep_from(settings_from_toml(given->spec.spec_file, {"sweep"}), given->spec.overrides());
    request.out = given->out;
    request.jobs = given->jobs;
    request.retries = given->retries;
    if (refine->count() > 0) request.refine = given->refine;
    if (!given->shard.empty()) request.shard = shard_from(given->shard, given->lease);
    request.json = given->json;
    exit_code = run_sweep(request);
  });
}

}  // namespace evenkeel::cli
