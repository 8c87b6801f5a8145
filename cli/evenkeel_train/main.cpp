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
#include <string>
#include <string_view>

#include "cli/evenkeel_train/serve.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/version.h"
#include "evenkeel/train/bench_worker.h"
#include "evenkeel/train/trainer.h"

namespace {

volatile std::sig_atomic_t stop_signal = 0;  // the only thing a signal handler may set

int complain(const std::string& sentence, int code) {
  std::fprintf(stderr, "evenkeel-train: %s\n", sentence.c_str());
  return code;
}

int out_of_memory() {
  return complain(
      "out of memory; use a smaller model or batch, or fewer --jobs, and run the same command again",
      evenkeel::kExitEnvironment);
}

int run(const std::string& directory) {
  using evenkeel::train::Outcome;
  for (const int signal : {SIGTERM, SIGINT}) std::signal(signal, [](int s) { stop_signal = s; });
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

int exit_code_of(const std::function<int()>& work) {
  try {
    return work();
  } catch (const evenkeel::InputError& e) {
    return complain(e.what(), evenkeel::kExitBadInput);
  } catch (const evenkeel::EnvironmentError& e) {
    return complain(e.what(), evenkeel::kExitEnvironment);
  } catch (const std::filesystem::filesystem_error& e) {
    return complain(e.what(), evenkeel::kExitEnvironment);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    // LibTorch's allocators have no exception type of their own.
    if (std::string_view(e.what()).find("allocate memory") != std::string_view::npos) return out_of_memory();
    return complain(std::string("internal error, this is a bug in evenkeel: ") + e.what(),
                    evenkeel::kExitInternal);
  }
}

}  // namespace

int main(int argc, char** argv) {
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? evenkeel::kExitFinished : evenkeel::kExitBadInput;
  }
  if (train->parsed()) return exit_code_of([&] { return run(directory); });
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
