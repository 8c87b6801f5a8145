// pairs.json of a folder of sentence pairs: what `evenkeel data tokenize --pairs` wrote beside the ids
// (docs/formats/data.md). Every sentence of a .bin file ends with the end id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/data/text/tokens_file.h"

namespace evenkeel::data {

struct PairsFile {
  struct Side {
    std::int64_t tokens = 0;  ///< ends of sentences included
    std::string hash;         ///< content hash of the .bin file
    std::int64_t text_bytes = 0;
    bool operator==(const Side&) const = default;
  };
  struct Part {
    std::int64_t pairs = 0;
    Side source, target;
    bool operator==(const Part&) const = default;
  };
  int width = 2;  ///< bytes per token, 2 or 4, little-endian
  std::int64_t vocab = 0;
  std::string model_hash;  ///< content hash of tokenizer.model
  Part train, valid;
  std::optional<Part> test;
  std::vector<Piece> pieces;  ///< [V]
  bool operator==(const PairsFile&) const = default;
};

/// Reads FOLDER/pairs.json. Throws InputError when it is missing or not as evenkeel writes it.
PairsFile read_pairs_file(const std::filesystem::path& folder);
/// The same for the document that `file` holds.
PairsFile pairs_from_json(const Json& document, const std::filesystem::path& file);
/// Writes FOLDER/pairs.json, atomically.
void write_pairs_file(const std::filesystem::path& folder, const PairsFile& file);

/// Name of the ids of one side, such as "train.source.bin".
std::string pairs_bin_name(std::string_view part, std::string_view side);

}  // namespace evenkeel::data
