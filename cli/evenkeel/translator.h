// A run's model as a translator of ids, in a process of its own: evenkeel-train searches, this program knows
// the words (SentencePiece and LibTorch cannot share a process).
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evenkeel/bench/contestant.h"
#include "evenkeel/data/pairs/pair_source.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/tokenize/tokenizer.h"

namespace evenkeel::cli {

struct TranslatorOptions {
  std::string run, data;
  std::int64_t step = -1, average = 1, beam = 5, threads = 0;
  double length_penalty = 1;

  void add_to(CLI::App& command);
};

using Sentence = std::vector<std::int32_t>;

class Translator {
 public:
  /// Reads the manifest alone. Throws InputError when the run is none of seq2seq.
  explicit Translator(const TranslatorOptions& options);

  /// Sources with their end -> targets without; of one without words, none. Shows progress on standard error.
  /// Throws InputError, naming the line, for a sentence longer than the model reads, and when the run has not
  /// the checkpoints that are asked for.
  std::vector<Sentence> translate(const std::vector<Sentence>& sources);

  const runs::Manifest& manifest() const { return manifest_; }
  /// Whether the sentences are text, rather than symbols of the built-in task.
  bool has_text() const;
  /// Of runs on text: the folder of sentence pairs, and its tokeniser, which is that of the run's data.
  std::filesystem::path folder() const;
  tokenize::Tokenizer tokenizer() const;
  /// The words of ids as one line of UTF-8: what is none becomes U+FFFD, and the end of a line a space.
  static std::string line_of(const tokenize::Tokenizer& tokenizer, const Sentence& ids);
  /// Tokens of the longest sentence that the model reads.
  std::int64_t longest() const { return manifest_.experiment.arch.context; }
  /// Of the checkpoint that translated; known after translate().
  std::int64_t step() const { return step_; }

 private:
  void start();

  runs::Manifest manifest_;
  TranslatorOptions options_;
  std::unique_ptr<bench::Contestant> process_;
  std::int64_t step_ = 0;
};

}  // namespace evenkeel::cli
