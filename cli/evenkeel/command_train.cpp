// evenkeel train: one run with progress. The trainer is a process of its own; its answer becomes this
// command's.
#include <fmt/format.h>

#include <csignal>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/sweep_session.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/runs/run_writer.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kTrainExamples =
    "Examples:\n"
    "  evenkeel train --out runs/a                                        the default model, built-in "
    "language\n"
    "  evenkeel train --set optim.lr=0.3 --set interventions.qk_norm=per_head --out runs/b\n"
    "  evenkeel train --set data.path=my_text.txt --out runs/c            bytes of any file\n"
    "  evenkeel train run.toml --out runs/d\n"
    "The same command again goes on from the last checkpoint.";

struct TrainArguments {
  SpecOptions spec;
  std::string out;
  bool json = false;
};

struct Watched {
  int code = 0;  ///< of base/error.h
  std::string failure;
  bool stopped = false;  ///< by a signal to this process
};

Watched watch(const fs::path& run, const sweep::Cell& cell, Progress& progress) {
  const fs::path trainer = sweep::find_trainer(), log = run / "log.txt";
  std::error_code absent;
  const auto log_bytes = fs::exists(log) ? fs::file_size(log, absent) : 0;
  const auto timing_bytes =
      fs::exists(run / "timing.jsonl") ? fs::file_size(run / "timing.jsonl", absent) : 0;
  sweep::SignalGate gate;
  const pid_t process =
      sweep::start_process(sweep::trainer_command(trainer, run, cell.experiment.train.threads), gate);
  Watched result;
  int stops = 0;
  const auto steps = cell.experiment.train.steps;
  sweep::ExitStatus status;
  while (!sweep::has_ended(process, status)) {
    const int came = gate.wait(0.5);
    if (came > 0) {
      stops += came;
      result.stopped = true;
      sweep::send_signal(process, stops > 1 ? SIGKILL : SIGTERM);
    }
    const Json record = Json::parse(sweep::last_line(run / "timing.jsonl", timing_bytes), nullptr, false);
    if (!record.is_object() || !record.contains("step") || !record["step"].is_number_integer()) continue;
    const auto step = record["step"].get<std::int64_t>();
    std::string line = fmt::format("step {} of {}", step, steps);
    if (record.contains("tokens_per_s") && record["tokens_per_s"].is_number()) {
      const double rate = record["tokens_per_s"].get<double>();
      const auto tokens = cell.experiment.tokens_per_step();
      line += fmt::format("; {} tokens/s", count_text(rate));
      if (rate > 0)
        line += fmt::format("; {} left", duration_text(static_cast<double>((steps - step) * tokens) / rate));
    }
    progress.show({bar_text(static_cast<double>(step) / static_cast<double>(steps), 40) + " " + line}, line);
  }
  progress.clear();
  result.code = sweep::exit_code_of(status);
  result.failure = sweep::failure_sentence(status, log, log_bytes);
  // A log is about what went wrong on the way: once there is a result it has been said, and equal runs are
  // equal files.
  const bool ended = fs::exists(run / "result.json");
  if (ended && fs::exists(log)) print_err("{}", printable(read_file(log).substr(log_bytes), "\n"));
  if (ended || fs::file_size(log, absent) == 0) fs::remove(log, absent);
  return result;
}

void print_result(const TrainArguments& given, const sweep::Cell& cell, const runs::Result& result,
                  int exit_code) {
  if (given.json) {
    const Json answer{{"run", given.out},
                      {"config_hash", cell.hash},
                      {"label", result.label},
                      {"steps", result.steps},
                      {"loss", result.final_loss},
                      {"l0", result.l0},
                      {"relapsed", result.relapsed},
                      {"exit_code", exit_code}};
    print_out("{}\n", json_text(answer, 2));
    return;
  }
  if (result.label == "nonfinite") {
    print_out("{}: became non-finite at step {} (a result: this recipe diverges)\n", given.out,
              result.nonfinite_step.value_or(result.steps));
  } else {
    print_out("{}: {} after {} steps, validation loss {:.4f} (at initialisation {:.4f})\n", given.out,
              result.label, result.steps, result.final_loss, result.l0);
    if (result.relapsed)
      print_out("It had been better: relapsed at step {}\n", result.relapse_step.value_or(result.steps));
  }
}

/// A run that `evenkeel import` prepared goes on with the words it was described by.
void adopt_imported_weights(sweep::Cell& cell, const fs::path& run) {
  if (cell.experiment.train.initial_weights || !fs::exists(run / "manifest.json")) return;
  cell.experiment.train.initial_weights = runs::read_manifest(run).experiment.train.initial_weights;
  cell.hash = config_hash(cell.experiment);
}

int train(const TrainArguments& given) {
  const fs::path run = given.out;
  sweep::Cell cell = given.spec.plan_one("train");
  adopt_imported_weights(cell, run);
  if (fs::exists(run / "sweep.json")) {
    throw InputError(fmt::format("{} holds a sweep, not a single run; choose another --out", given.out));
  }
  sweep::find_trainer();
  make_folder(run);
  sweep::prepare_run(run, cell);
  Watched ended;
  if (!runs::read_result(run)) {
    { const runs::RunLock nobody_else(run); }  // whose log this command's trainer would write into
    Progress progress;
    ended = watch(run, cell, progress);
  }
  const auto result = runs::read_result(run);
  if (result) {
    const int code = result->label == "nonfinite" ? kExitStopped : kExitFinished;
    print_result(given, cell, *result, code);
    return code;
  }
  if (ended.code == kExitInterrupted || ended.stopped) {
    throw Interrupted(fmt::format(
        "stopped; run the same command again to go on from the last checkpoint in {}", given.out));
  }
  const fs::path log = run / "log.txt";
  print_err("evenkeel: {}{}\n", printable(ended.failure),
            fs::exists(log) ? fmt::format(" (log: {})", log.string()) : "");
  return ended.code == kExitFinished || ended.code == kExitStopped ? kExitInternal : ended.code;
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  auto given = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Train one run, or go on with it");
  command->footer(kTrainExamples);
  given->spec.add_to(*command, false);
  command->add_option("--out", given->out, "Folder of the run")->type_name("DIR")->required();
  add_json_flag(*command, given->json);
  command->callback([given, &exit_code] { exit_code = train(*given); });
}

}  // namespace evenkeel::cli
