// From parallel text files to a folder of sentence pairs with one vocabulary for both sides.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/data/pairs/pairs_file.h"
#include "evenkeel/tokenize/tokenizer.h"

namespace evenkeel::tokenize {

struct PairCorpusOptions {
  using Files = std::array<std::string, 2>;  ///< source and target; plain or gzip, line i belongs to line i
  Files train;
  std::optional<Files> valid;  ///< unset: the last valid_fraction of the training pairs
  std::optional<Files> test;
  std::filesystem::path out;
  double valid_fraction = 0.1;
  std::optional<std::filesystem::path> model;  ///< use this model; else train one
  TrainOptions train_options;
  bool replace = false;
};

/// Writes pairs.json, the ids of every part and side, and tokenizer.model into options.out. The model is
/// trained on both sides of the training pairs. Training pairs with an empty side are left out; in the other
/// parts every line stays. Throws InputError for files that cannot be read, are not UTF-8, or differ in their
/// number of lines, and when the folder already holds pairs and `replace` is off.
data::PairsFile tokenize_pairs(const PairCorpusOptions& options);

}  // namespace evenkeel::tokenize
