// From text files to a token folder: cut into documents, train or load a tokeniser, encode, write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/tokenize/tokenizer.h"

namespace evenkeel::tokenize {

/// What separates the documents of a plain-text file: blank lines, every line end, or nothing (one document a
/// file).
enum class Documents { kBlankLine, kLine, kFile };

struct CorpusOptions {
  std::vector<std::string> inputs;  ///< plain text (UTF-8), or JSON lines where the name ends in .jsonl
  std::filesystem::path out;
  Documents documents = Documents::kBlankLine;
  std::string text_field = "text";
  double valid_fraction = 0.1;
  std::optional<std::filesystem::path> model;  ///< use this model; else train one
  TrainOptions train;
  bool replace = false;  ///< overwrite a token folder that is there
};

/// The documents of all inputs in order; empty ones are left out. Throws InputError naming file and byte for
/// a missing or empty file and for text that is not UTF-8.
std::vector<std::string> read_documents(const CorpusOptions& options);

/// Index of the first validation document: the last documents, holding about `fraction` of the bytes and at
/// least one. A single document is first cut in two at a line end. Throws InputError when that is impossible.
std::size_t split_documents(std::vector<std::string>& documents, double fraction);

/// Writes tokens.json, train.bin, valid.bin and tokenizer.model into options.out. The model is trained on the
/// training documents only. Throws InputError when the folder already holds tokens, or files
/// of their names, and `replace` is off.
data::TokensFile tokenize_corpus(const CorpusOptions& options);

}  // namespace evenkeel::tokenize
