#include "cli/evenkeel_train/probe.h"

#include <fmt/format.h>

#include <charconv>
#include <exception>
#include <functional>

#include "cli/evenkeel/terminal.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/ops/memory.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/probes/probe.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/train/load_run.h"

namespace evenkeel::cli {
namespace {

struct Target {
  fs::path run;
  std::optional<std::int64_t> step;  ///< nullopt: the newest
};

std::int64_t step_from(const std::string& text) {
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0)
    throw InputError(fmt::format("--step must be a number of updates or \"all\", got \"{}\"", text));
  return step;
}

std::vector<Target> targets_of(const ProbeArguments& arguments) {
  std::vector<Target> targets;
  for (const std::string& folder : arguments.folders) {
    for (const fs::path& run : runs::find_runs(folder)) {
      const auto steps = train::checkpoint_steps(run);
      // A run without checkpoint stays, to be named.
      if (arguments.step == "all" && !steps.empty())
        for (const std::int64_t step : steps) targets.push_back({run, step});
      else if (arguments.step.empty() || arguments.step == "all") targets.push_back({run, std::nullopt});
      else targets.push_back({run, step_from(arguments.step)});
    }
  }
  return targets;
}

/// One element of a list that grows as answers come, so that a reader sees each at once.
class JsonList {
 public:
  void add(const Json& element) {
    fmt::print("{}{}", first_ ? "[\n" : ",\n", json_text(element));
    std::fflush(stdout);
    first_ = false;
  }
  void end() const { fmt::print("\n]\n"); }

 private:
  bool first_ = true;
};

void print_text(const probes::Description& description) {
  const Style style(stdout);
  bool first = true;
  for (const probes::Table& table : description.tables) {
    if (!first) fmt::print("\n");
    if (!table.title.empty()) fmt::print("{}\n", style.bold(table.title));
    fmt::print("{}", table_text(table.rows, style, table.words));
    first = false;
  }
  for (const std::string& note : description.notes) fmt::print("\n{}\n", wrapped(note, stdout));
}

/// Calls `measure` for each target. One of several that cannot be measured is named and passed over.
void measure_each(const std::vector<Target>& targets, const std::function<void(const Target&)>& measure) {
  Progress progress;
  std::exception_ptr failure;
  std::size_t failure_count = 0;
  std::size_t done = 0;
  const auto pass_over = [&](const std::exception& error) {
    // The last one of nothing but failures becomes this command's own sentence.
    const bool last = done == 0 && failure_count + 1 == targets.size();
    ++failure_count;
    failure = std::current_exception();
    if (!last) progress.say(fmt::format("evenkeel: passing over: {}", error.what()));
  };
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets.size() > 1) {
      const std::string line = fmt::format("{} of {}: {}", i + 1, targets.size(), targets[i].run.string());
      progress.show({line}, line);
    }
    try {
      measure(targets[i]);
      ++done;
    } catch (const InputError& error) {
      pass_over(error);
    } catch (const EnvironmentError& error) {
      pass_over(error);
    }
  }
  progress.clear();
  if (done == 0 && failure) std::rethrow_exception(failure);
}

}  // namespace

void add_probe(CLI::App& command, ProbeArguments& arguments) {
  command.add_option("PROBE", arguments.probe)->required();
  command.add_option("DIR", arguments.folders);
  command.add_option("--step", arguments.step);
  command.add_option("--experiment", arguments.experiment);
  command.add_option("--batch", arguments.batch);
  command.add_option("--iterations", arguments.iterations);
  command.add_option("--precision", arguments.precision);
  command.add_option("--change", arguments.change);
  command.add_option("--size", arguments.size);
  command.add_option("--seeds", arguments.seeds);
  command.add_option("--steps", arguments.steps);
  command.add_option("--widths", arguments.widths)->delimiter(',');
  command.add_option("--threads", arguments.threads);
  command.add_flag("--json", arguments.json);
}

int probe(const ProbeArguments& arguments) {
  const probes::Probe& probe = probes::find(arguments.probe);
  kernels::check_isa_setting();
  ops::keep_freed_memory();
  ops::set_threads(static_cast<int>(arguments.threads));
  const probes::Options options{.batch = arguments.batch,
                                .iterations = arguments.iterations,
                                .type = arguments.precision == "double" ? at::kDouble : at::kFloat,
                                .change = arguments.change == "random" ? probes::MatrixChange::kRandom
                                                                       : probes::MatrixChange::kGradient,
                                .size = arguments.size,
                                .seeds = arguments.seeds > 0 ? arguments.seeds : probe.seeds,
                                .widths = arguments.widths,
                                .steps = arguments.steps};
  std::vector<Json> answers;
  JsonList list;
  const auto keep = [&](const Json& run, const probes::Subject& subject) {
    for (const std::string& sentence : subject.warnings)
      fmt::print(stderr, "evenkeel: {}\n", printable(sentence));
    answers.push_back(probes::measure(probe, run, subject, options));
    if (arguments.json) list.add(answers.back());
  };
  if (!arguments.experiment.empty()) {
    const Experiment experiment =
        experiment_from_json(parse_json(arguments.experiment, "--experiment"), "--experiment");
    keep(nullptr, probes::initial_subject(experiment, options));
  } else {
    measure_each(targets_of(arguments), [&](const Target& target) {
      keep(target.run.string(), probes::load_subject(target.run, target.step, options));
    });
  }
  if (arguments.json) list.end();
  else print_text(probe.describe(answers));
  return kExitFinished;
}

}  // namespace evenkeel::cli
