// `evenkeel`: the one door. Commands are registered in the order of a user's journey.
#include <fmt/format.h>

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <exception>
#include <memory>
#include <new>
#include <sstream>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/process_setup.h"
#include "evenkeel/base/version.h"

namespace {

using namespace evenkeel;

constexpr const char* kAbout =
    "evenkeel trains small Transformers with and without stabilising treatments,\n"
    "measures what goes wrong inside them, and says from a sweep of learning rates\n"
    "how far each treatment moves the point where training breaks.";

constexpr const char* kExamples =
    "Examples:\n"
    "  evenkeel demo                             sweep, verdict, report in minutes\n"
    "  evenkeel train --set optim.lr=0.03 --out runs/a       one run\n"
    "  evenkeel sweep study.toml --out runs/s    every cell; again: what is missing\n"
    "  evenkeel analyze runs/s                   boundary LR and LR sensitivity\n"
    "  evenkeel report runs/s                    the same as one HTML page\n"
    "`evenkeel COMMAND --help` says more.\n"
    "Exit codes: 0 done, 2 wrong input, 3 run became non-finite, 4 a bug,\n"
    "5 the machine refused (disk, memory, permission), 6 a trainer crashed,\n"
    "75 interrupted: run the same command again to go on.";

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// The command the user was in, so that the advice fits.
const CLI::App& innermost(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() ? full_name(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

std::string first_unknown(const CLI::App& app) {
  const auto extras = app.remaining(true);
  return extras.empty() ? "" : extras.front();
}

std::string usage_sentence(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  const std::string help = fmt::format("`{} --help` shows how to use it", full_name(command));
  if (const std::string word = first_unknown(app); !word.empty()) {
    std::vector<std::string> known = command_names(command);
    if (word[0] == '-') {
      known.clear();
      for (const CLI::Option* option : command.get_options()) {
        for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    const std::string guess = did_you_mean(word.substr(0, word.find('=')), known);
    const char* kind = word[0] == '-' ? "option" : known.empty() ? "argument" : "command";
    return fmt::format("{} has no {} \"{}\"; {}", full_name(command), kind, word,
                       guess.empty() ? help : fmt::format("did you mean \"{}\"?", guess));
  }
  std::string sentence = error.what();
  std::replace(sentence.begin(), sentence.end(), '\n', ' ');
  return fmt::format("{}; {}", sentence, help);
}

int complain(const std::string& sentence, int code) {
  evenkeel::cli::print_err("evenkeel: {}\n", evenkeel::printable(sentence));
  return code;
}

// Every file is written whole or not at all, so a command may end anywhere. Where there is more to do first,
// such as stopping trainers, sweep::SignalGate takes these signals as messages.
void end_when_asked() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (signal == SIGHUP && is_ignored(signal)) continue;
    std::signal(signal, [](int) {
      constexpr std::string_view kSentence = "evenkeel: stopped; run the same command again to go on\n";
      [[maybe_unused]] const ssize_t heard = ::write(STDERR_FILENO, kSentence.data(), kSentence.size());
      ::_exit(kExitInterrupted);
    });
  }
}

int run(int argc, char** argv) {
  CLI::App app(kAbout, "evenkeel");
  app.set_version_flag("--version", std::string("evenkeel ") + kVersion);
  app.require_subcommand(0, 1);
  int exit_code = kExitFinished;
  cli::add_demo(app, exit_code);
  cli::add_train(app, exit_code);
  cli::add_sweep(app, exit_code);
  cli::add_ls(app, exit_code);
  cli::add_show(app, exit_code);
  cli::add_verify(app, exit_code);
  cli::add_analyze(app, exit_code);
  cli::add_probe(app, exit_code);
  cli::add_predictors(app, exit_code);
  cli::add_report(app, exit_code);
  cli::add_import(app, exit_code);
  cli::add_export(app, exit_code);
  cli::add_translate(app, exit_code);
  cli::add_evaluate(app, exit_code);
  cli::add_score(app, exit_code);
  cli::add_data(app, exit_code);
  cli::add_config(app, exit_code);
  cli::add_bench(app, exit_code);
  const auto narrow = std::make_shared<CLI::Formatter>();
  narrow->column_width(13);
  app.formatter(narrow);
  app.footer(kExamples);  // both after the commands, which would inherit it
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream answer;
    const int code = app.exit(asked, answer, answer);
    cli::write_out(answer.str());
    return code;
  } catch (const CLI::ParseError& error) {
    return complain(usage_sentence(app, error), kExitBadInput);
  }
  if (app.get_subcommands().empty()) {
    evenkeel::cli::print_err("{}", app.help());
    return kExitBadInput;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  set_up_process();
  end_when_asked();
  try {
    const int code = run(argc, argv);
    check_written(stdout);
    return code;
  } catch (const InputError& error) {
    return complain(error.what(), kExitBadInput);
  } catch (const EnvironmentError& error) {
    return complain(error.what(), kExitEnvironment);
  } catch (const Interrupted& error) {
    return complain(error.what(), kExitInterrupted);
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(fmt::format("{}; check the path and your permissions", error.what()), kExitEnvironment);
  } catch (const std::bad_alloc&) {
    return complain("out of memory; use smaller files, a smaller model or batch, or fewer --jobs",
                    kExitEnvironment);
  } catch (const std::exception& error) {
    return complain(
        fmt::format("{} (this is a bug in evenkeel {}; please report it with the command you ran)",
                    error.what(), kVersion),
        kExitInternal);
  }
}
