// tokens.json of a token folder: what `evenkeel data tokenize` wrote beside train.bin and valid.bin
// (docs/formats/data.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace evenkeel::data {

/// What one id stands for: text (UTF-8, spaces as spaces), one raw byte, or nothing to print (document end,
/// unknown).
struct Piece {
  enum class Kind { kControl, kText, kByte };
  Kind kind = Kind::kControl;
  std::string text;
  bool operator==(const Piece&) const = default;
};

struct TokensFile {
  struct Part {
    std::int64_t tokens = 0, documents = 0;
    std::string hash;  ///< content hash of the .bin file
    std::int64_t text_bytes = 0;
    bool operator==(const Part&) const = default;
  };
  int width = 2;  ///< bytes per token, 2 or 4, little-endian
  std::int64_t vocab = 0, end_id = 0;
  std::string model_hash;  ///< content hash of tokenizer.model
  Part train, valid;
  std::vector<Piece> pieces;  ///< [V], so that decoding needs no tokeniser
  bool operator==(const TokensFile&) const = default;
};

/// Reads FOLDER/tokens.json. Throws InputError when it is missing or not as evenkeel writes it.
TokensFile read_tokens_file(const std::filesystem::path& folder);

/// Writes FOLDER/tokens.json, atomically.
void write_tokens_file(const std::filesystem::path& folder, const TokensFile& file);

/// The text of `ids`; ids outside the table and control pieces print nothing.
std::string decode(const std::vector<Piece>& pieces, std::span<const std::int32_t> ids);

}  // namespace evenkeel::data
