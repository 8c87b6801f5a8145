#include "cli/evenkeel/translator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cli/evenkeel/output.h"
#include "cli/evenkeel/terminal.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/utf8.h"
#include "evenkeel/data/source.h"
#include "evenkeel/spec/family.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::cli {
namespace {

constexpr std::size_t kRequest = 16;  // sentences; progress moves by so many

/// What the trainer said when it ended, as this program's own sentence.
[[noreturn]] void fail(const bench::ContestantError& error) {
  std::string sentence = error.what();
  const std::string name = "evenkeel-train: ";
  if (sentence.starts_with(name)) sentence.erase(0, name.size());
  if (error.exit_code == kExitBadInput) throw InputError(sentence);
  if (error.exit_code == kExitInternal) throw std::runtime_error(sentence);
  throw EnvironmentError(sentence);
}

}  // namespace

void TranslatorOptions::add_to(CLI::App& command) {
  command.add_option("RUN", run, "Folder of a run of seq2seq")->required();
  command.add_option("--step", step, "Step of the checkpoint (the newest)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  command.add_option("--average", average, "Mean over so many checkpoints up to that one (1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command.add_option("--beam", beam, "Sentences kept in the search; 1 is greedy (5)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      .add_option("--length-penalty", length_penalty,
                  "alpha: log-probabilities are divided by length^alpha (1)")
      ->type_name("X")
      ->check(CLI::Range(-10.0, 10.0));
  command.add_option("--data", data, "Folder of sentence pairs, where it is not at the run's data.path")
      ->type_name("DIR");
  command.add_option("--threads", threads, "Threads (those of the run)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
}

Translator::Translator(const TranslatorOptions& options)
    : manifest_(runs::read_manifest(options.run)), options_(options) {
  Experiment& e = manifest_.experiment;
  if (family_row(e.arch.family).reads != DataForm::kPairs)
    throw InputError(fmt::format("{} holds a {}, which does not translate; give a run of seq2seq",
                                 options_.run, enum_name(e.arch.family)));
  if (!options.data.empty()) {
    if (!has_text())
      throw InputError(
          fmt::format("--data is for runs on text, and {} learnt the built-in pair task; leave "
                      "it out",
                      options_.run));
    e.data.path = options.data;
  }
  if (!std::isfinite(options.length_penalty))
    throw InputError("--length-penalty must be a number, got one that is not finite");
}

void Translator::start() {
  const std::int64_t threads = options_.threads > 0 ? options_.threads : manifest_.experiment.train.threads;
  bench::Command command;
  command.words = {sweep::find_trainer().string(),
                   "translate",
                   options_.run,
                   "--average",
                   std::to_string(options_.average),
                   "--beam",
                   std::to_string(options_.beam),
                   "--length-penalty",
                   fmt::format("{}", options_.length_penalty),
                   "--threads",
                   std::to_string(threads)};
  if (options_.step >= 0)
    command.words.insert(command.words.end(), {"--step", std::to_string(options_.step)});
  command.environment = sweep::trainer_environment(threads);
  process_ = std::make_unique<bench::Contestant>(command);
  try {
    const Json begun = process_->receive();
    step_ = begun.at("step");
    for (const std::string sentence : begun.at("warnings")) print_err("evenkeel: {}\n", printable(sentence));
  } catch (const bench::ContestantError& error) {
    fail(error);
  }
}

std::vector<Sentence> Translator::translate(const std::vector<Sentence>& sources) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (std::ssize(sources[i]) <= longest()) continue;
    throw InputError(
        fmt::format("sentence {} has {} tokens, expected at most [arch.context] = {} of {}; cut it in two",
                    i + 1, sources[i].size(), longest(), options_.run));
  }
  if (process_ == nullptr) start();
  Progress progress;
  std::vector<Sentence> targets;
  while (targets.size() < sources.size()) {
    const std::size_t asked = std::min(kRequest, sources.size() - targets.size());
    const auto from = sources.begin() + std::ssize(targets), to = from + static_cast<std::ptrdiff_t>(asked);
    try {
      const Json answer = process_->ask({{"sources", std::vector<Sentence>(from, to)}});
      if (answer.at("targets").size() != asked)
        throw std::logic_error(
            fmt::format("{} translations of {} sentences", answer.at("targets").size(), asked));
      // Of a source without words a model makes up some.
      for (std::size_t i = 0; i < asked; ++i) {
        const bool blank = from[static_cast<std::ptrdiff_t>(i)].size() == 1;
        targets.push_back(blank ? Sentence() : answer.at("targets")[i].get<Sentence>());
      }
    } catch (const bench::ContestantError& error) {
      fail(error);
    }
    const std::string line = fmt::format("translated {} of {} sentences", targets.size(), sources.size());
    progress.show({line}, line);
  }
  progress.clear();
  return targets;
}

std::string Translator::line_of(const tokenize::Tokenizer& tokenizer, const Sentence& ids) {
  std::string line = tokenizer.decode(ids);
  for (std::size_t bad = 0; (bad = first_invalid_utf8(line)) != std::string::npos;)
    line.replace(bad, 1, "\xef\xbf\xbd");
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  return line;
}

bool Translator::has_text() const {
  return manifest_.experiment.data.kind == DataKind::kPairs;
}

std::filesystem::path Translator::folder() const {
  return *manifest_.experiment.data.path;
}

tokenize::Tokenizer Translator::tokenizer() const {
  const Experiment& e = manifest_.experiment;
  const std::string fingerprint = data::open_source(e.data, e.arch.context)->fingerprint();
  if (fingerprint != e.data.fingerprint) {
    throw InputError(
        fmt::format("the sentence pairs in {} are not those of {}: fingerprint {}, expected {}; "
                    "name the right folder with --data",
                    folder().string(), options_.run, fingerprint, *e.data.fingerprint));
  }
  tokenize::Tokenizer tokenizer = tokenize::Tokenizer::load(folder() / "tokenizer.model");
  if (content_hash(tokenizer.model()) != data::read_pairs_file(folder()).model_hash) {
    throw InputError(
        fmt::format("{} is not the model that pairs.json beside it was made with; make the "
                    "folder again with `evenkeel data tokenize --pairs`",
                    (folder() / "tokenizer.model").string()));
  }
  return tokenizer;
}

}  // namespace evenkeel::cli
