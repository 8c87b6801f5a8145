// evenkeel-train: trains what a run directory's manifest says. People use `evenkeel train`, which prepares
// the directory.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "cli/evenkeel_train/probe.h"
#include "cli/evenkeel_train/serve.h"
#include "cli/evenkeel_train/translate.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/process_setup.h"
#include "evenkeel/base/version.h"
#include "evenkeel/train/bench_worker.h"
#include "evenkeel/train/trainer.h"
#include "evenkeel/train/weights_file.h"

namespace {

volatile std::sig_atomic_t stop_signal = 0;  // the only thing a signal handler may set

int complain(const std::string& sentence, int code) {
  std::fprintf(stderr, "evenkeel-train: %s\n", evenkeel::printable(sentence).c_str());
  return code;
}

int out_of_memory() {
  return complain(
      "out of memory; use a smaller model or batch, or fewer --jobs, and run the same command again",
      evenkeel::kExitEnvironment);
}

int run(const std::string& directory) {
  using evenkeel::train::Outcome;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    if (signal == SIGHUP && evenkeel::is_ignored(signal)) continue;
    std::signal(signal, [](int s) { stop_signal = s; });
  }
  evenkeel::train::Options options;
  options.stop_requested = [] { return stop_signal != 0; };
  options.warn = [](const std::string& sentence) { complain(sentence, 0); };
  switch (evenkeel::train::run(directory, options)) {
    case Outcome::kFinished:
      return evenkeel::kExitFinished;
    case Outcome::kNonfinite:
      return evenkeel::kExitStopped;
    case Outcome::kInterrupted:
      return complain(
          "interrupted; the run is saved in " + directory + ", run the same command again to go on",
          evenkeel::kExitInterrupted);
  }
  return evenkeel::kExitInternal;
}

/// Answers `evenkeel export`.
int export_weights(const std::string& run, const std::string& file, std::int64_t step, std::int64_t average,
                   bool fold, bool json) {
  const auto done = evenkeel::train::export_weights(
      run, step >= 0 ? std::optional<std::int64_t>(step) : std::nullopt, average, fold, file);
  for (const std::string& sentence : done.warnings)
    std::fprintf(stderr, "evenkeel: %s\n", evenkeel::printable(sentence).c_str());
  if (json) {
    const evenkeel::Json answer{{"out", file},
                                {"step", done.step},
                                {"tensors", done.tensors},
                                {"values", done.values},
                                {"folded", fold}};
    std::printf("%s\n", evenkeel::json_text(answer, 2).c_str());
  } else {
    std::printf("%s: %zu tensors, %lld values, %s, after %lld steps\n", file.c_str(), done.tensors,
                static_cast<long long>(done.values), fold ? "folded" : "as in the run",
                static_cast<long long>(done.step));
  }
  return evenkeel::kExitFinished;
}

/// Answers `evenkeel import` of weights.
int import_weights(const std::string& file, const std::string& run, bool json) {
  evenkeel::train::begin_with_weights(run, file, {});
  if (json) std::printf("%s\n", evenkeel::json_text({{"out", run}, {"weights", file}}, 2).c_str());
  else
    std::printf("%s begins with the weights of %s; train it with `evenkeel train` and the same settings\n",
                run.c_str(), file.c_str());
  return evenkeel::kExitFinished;
}

int exit_code_of(const std::function<int()>& work) {
  try {
    const int code = work();
    evenkeel::check_written(stdout);
    return code;
  } catch (const evenkeel::InputError& e) {
    return complain(e.what(), evenkeel::kExitBadInput);
  } catch (const evenkeel::EnvironmentError& e) {
    return complain(e.what(), evenkeel::kExitEnvironment);
  } catch (const std::filesystem::filesystem_error& e) {
    return complain(e.what(), evenkeel::kExitEnvironment);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    // LibTorch 2 starts threads before the first tensor.
    const auto* system = dynamic_cast<const std::system_error*>(&e);
    if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again)
      return complain(
          "a thread could not be started, as memory or processes are limited (ulimit -v, ulimit -u); "
          "raise the limit and run the same command again",
          evenkeel::kExitEnvironment);
    // LibTorch's allocators have no exception type of their own.
    if (std::string_view(e.what()).find("allocate memory") != std::string_view::npos) return out_of_memory();
    return complain(std::string("internal error, this is a bug in evenkeel: ") + e.what(),
                    evenkeel::kExitInternal);
  }
}

}  // namespace

int main(int argc, char** argv) {
  evenkeel::set_up_process();
  CLI::App app("Trains what a run directory's manifest says; `evenkeel train` prepares one.",
               "evenkeel-train");
  app.set_version_flag("--version", std::string("evenkeel-train ") + evenkeel::kVersion);
  app.require_subcommand(1);
  std::string directory;
  CLI::App* train = app.add_subcommand("run", "Start or go on with the run in DIR");
  train->add_option("DIR", directory, "Run directory with a manifest.json")->required();
  app.add_subcommand("serve", "Load once and fork a process per run; for `evenkeel sweep`");
  CLI::App* bench = app.add_subcommand(
      "bench", "Answer `evenkeel bench` (docs/formats/bench.md) on standard input and output");
  std::string file;
  std::int64_t step = -1, average = 1;
  bool fold = false, json = false;
  CLI::App* to_file = app.add_subcommand("export", "Answer `evenkeel export`");
  to_file->add_option("RUN", directory)->required();
  to_file->add_option("FILE", file)->required();
  to_file->add_option("--step", step);
  to_file->add_option("--average", average);
  to_file->add_flag("--fold", fold);
  CLI::App* from_file = app.add_subcommand("import", "Answer `evenkeel import` of weights");
  from_file->add_option("FILE", file)->required();
  from_file->add_option("RUN", directory)->required();
  evenkeel::cli::ProbeArguments probed;
  CLI::App* probe = app.add_subcommand("probe", "Answer `evenkeel probe`");
  evenkeel::cli::add_probe(*probe, probed);
  evenkeel::cli::TranslateArguments translated;
  CLI::App* translate =
      app.add_subcommand("translate", "Answer `evenkeel translate` and `evenkeel evaluate`");
  evenkeel::cli::add_translate(*translate, translated);
  for (CLI::App* command : {to_file, from_file}) command->add_flag("--json", json);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? evenkeel::kExitFinished : evenkeel::kExitBadInput;
  }
  if (train->parsed()) return exit_code_of([&] { return run(directory); });
  if (to_file->parsed())
    return exit_code_of([&] { return export_weights(directory, file, step, average, fold, json); });
  if (from_file->parsed()) return exit_code_of([&] { return import_weights(file, directory, json); });
  if (probe->parsed()) return exit_code_of([&] { return evenkeel::cli::probe(probed); });
  if (translate->parsed()) {
    return exit_code_of([&] { return evenkeel::cli::translate(translated, std::cin, std::cout); });
  }
  if (bench->parsed()) {
    return exit_code_of([] {
      evenkeel::train::serve_bench(std::cin, std::cout);
      return static_cast<int>(evenkeel::kExitFinished);
    });
  }
  return exit_code_of([] {
    return evenkeel::cli::serve(
        [](const std::string& forked) { return exit_code_of([&] { return run(forked); }); });
  });
}
