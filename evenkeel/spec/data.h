// What the model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evenkeel/config/field.h"

namespace evenkeel {

enum class DataKind { kSynthetic, kBytes, kTokens, kShard, kNanogpt, kJsonl, kPairs, kSyntheticPairs };
template <>
struct EnumNames<DataKind> {
  static constexpr std::array names{
      std::pair{DataKind::kSynthetic, "synthetic"}, std::pair{DataKind::kBytes, "bytes"},
      std::pair{DataKind::kTokens, "tokens"},       std::pair{DataKind::kShard, "llmc"},
      std::pair{DataKind::kNanogpt, "nanogpt"},     std::pair{DataKind::kJsonl, "jsonl"},
      std::pair{DataKind::kPairs, "pairs"},         std::pair{DataKind::kSyntheticPairs, "synthetic_pairs"}};
};
/// What the examples of a kind of data are; a family reads one form.
enum class DataForm { kText, kPairs };
template <>
struct EnumNames<DataForm> {
  static constexpr std::array names{std::pair{DataForm::kText, "one text"},
                                    std::pair{DataForm::kPairs, "sentence pairs"}};
};
inline DataForm form_of(DataKind kind) {
  return kind == DataKind::kPairs || kind == DataKind::kSyntheticPairs ? DataForm::kPairs : DataForm::kText;
}
/// Made up by evenkeel itself: it reads no file.
inline bool is_built_in(DataKind kind) {
  return kind == DataKind::kSynthetic || kind == DataKind::kSyntheticPairs;
}

/// The ids of sentence pairs that are no words, in fairseq's order.
struct PairIds {
  static constexpr std::int32_t kBos = 0;  ///< what the decoder reads first
  static constexpr std::int32_t kPad = 1;  ///< fills rows up; nothing looks at it
  static constexpr std::int32_t kEnd = 2;  ///< ends every sentence
  static constexpr std::int32_t kUnknown = 3;
  static constexpr std::int32_t kFirst = 4;  ///< the first id that is none of these
};

enum class PairTask { kCopy, kReverse, kSort };
template <>
struct EnumNames<PairTask> {
  static constexpr std::array names{std::pair{PairTask::kCopy, "copy"},
                                    std::pair{PairTask::kReverse, "reverse"},
                                    std::pair{PairTask::kSort, "sort"}};
};

/// The built-in pair task: sources of random symbols, and what a rule makes of them.
struct PairTaskSpec {
  PairTask task = PairTask::kReverse;
  std::int64_t symbols = 40;
  std::int64_t length_min = 4;
  std::int64_t length_max = 20;
  std::int64_t count = 32768;
  std::int64_t seed = 1;

  static void fields(auto& self, auto&& visit) {
    visit("task", self.task,
          {.doc = "What the target is: copy of the source, reverse, or sort (ascending)."});
    visit("symbols", self.symbols,
          {.doc = "Number of symbols; the vocabulary has 4 ids more.", .min = 2, .max = 60000});
    visit("length_min", self.length_min,
          {.doc = "Symbols of the shortest source.", .min = 1, .max = 1 << 20});
    visit("length_max", self.length_max,
          {.doc = "Symbols of the longest source; lengths between are equally likely.",
           .min = 1,
           .max = 1 << 20});
    visit("count", self.count, {.doc = "Training pairs, drawn once.", .min = 1, .max = 1 << 24});
    visit("seed", self.seed, {.doc = "Seed of the pairs; their order follows train.seed.", .min = 0});
  }
};

/// The built-in language (docs/design/synthetic_language.md).
struct SyntheticSpec {
  std::int64_t vocab = 128;
  double zipf = 1.0;
  std::int64_t topics = 4;
  double topic = 0.5;
  double bigram = 0.7;
  std::int64_t successors = 4;
  double copy = 0.81;
  double copy_length = 10;
  std::int64_t lag_min = 2;
  std::int64_t lag_max = 4;
  std::int64_t seed = 1;

  static void fields(auto& self, auto&& visit) {
    visit("vocab", self.vocab, {.doc = "Number of token ids.", .min = 2, .max = 65536});
    visit("zipf", self.zipf,
          {.doc = "Exponent of the Zipf laws that tokens are drawn from.", .min = 0, .max = 4});
    visit("topics", self.topics, {.doc = "Number of topics; each sequence has one.", .min = 1, .max = 256});
    visit("topic", self.topic,
          {.doc = "Share of the topic's own Zipf law in drawn tokens; the rest follows the common one.",
           .min = 0,
           .max = 1});
    visit("bigram", self.bigram,
          {.doc = "Share of generated tokens that follow from the token before by the bigram table.",
           .min = 0,
           .max = 1});
    visit("successors", self.successors,
          {.doc = "Successors of each token in the bigram table, with weights 1, 1/2, 1/4, ...",
           .min = 1,
           .max = 64});
    visit("copy", self.copy,
          {.doc = "Long-run share of tokens that repeat the token a fixed lag back; they come in stretches.",
           .min = 0,
           .max = 0.99});
    visit("copy_length", self.copy_length, {.doc = "Mean length of a copied stretch, in tokens.", .min = 1});
    visit("lag_min", self.lag_min, {.doc = "Smallest lag of a copied stretch.", .min = 1, .max = 1024});
    visit("lag_max", self.lag_max,
          {.doc = "Largest lag of a copied stretch; each stretch draws its own, uniformly.",
           .min = 1,
           .max = 1024});
    visit("seed", self.seed,
          {.doc = "Seed of the language itself; the order of sequences follows train.seed.", .min = 0});
  }
};

struct DataSpec {
  std::optional<DataKind> kind;  ///< after resolve: always set
  std::optional<std::string> path, valid_path;
  double valid_fraction = 0.1;
  std::int64_t valid_tokens = 65536;
  std::string text_field = "text";
  std::int64_t batch_tokens = 4096;
  std::optional<std::int64_t> vocab;       ///< after resolve: always set
  std::optional<std::string> fingerprint;  ///< after resolve: content hash of all data, stands for the paths
  SyntheticSpec synthetic;
  PairTaskSpec pairs;

  static void fields(auto& self, auto&& visit) {
    visit("kind", self.kind,
          {.doc =
               "synthetic (built in), bytes (any file), tokens (folder made by `evenkeel data tokenize`), "
               "llmc (.bin "
               "shard of llm.c), nanogpt (headerless uint16), jsonl (JSON lines, bytes of one text "
               "field), pairs (folder made by `evenkeel data tokenize --pairs`), synthetic_pairs (built in). "
               "auto: told "
               "from the path; synthetic without one."});
    visit(
        "path", self.path,
        {.doc = "File, or folder of kind tokens, to train on; a relative path starts at the current folder.",
         .hashed = false});
    visit("valid_path", self.valid_path,
          {.doc = "File to validate on. auto: the last valid_fraction of path.", .hashed = false});
    visit(
        "valid_fraction", self.valid_fraction,
        {.doc = "Share of path kept for validation when valid_path is not given.", .min = 0.001, .max = 0.5});
    visit("valid_tokens", self.valid_tokens,
          {.doc = "Tokens of the fixed validation set (fewer when there are fewer).",
           .min = 2,
           .max = 1 << 30});
    visit("batch_tokens", self.batch_tokens,
          {.doc = "Of pairs: the most tokens of either side in a batch, padding included; takes the place of "
                  "train.batch.",
           .min = 2,
           .max = 1 << 30});
    visit("text_field", self.text_field, {.doc = "Field of each JSON line that holds the text."});
    visit("vocab", self.vocab,
          {.doc = "Vocabulary size. auto: what the data needs (256 for bytes; one more id for document ends "
                  "in jsonl).",
           .min = 2,
           .max = 1 << 24});
    visit("fingerprint", self.fingerprint,
          {.doc = "Content hash of the data. auto: computed; a wrong one is an error."});
    visit("synthetic", self.synthetic);
    visit("pairs", self.pairs);
  }
};

}  // namespace evenkeel
