// tokens.json of a token folder: what `evenkeel data tokenize` wrote beside train.bin and valid.bin
// (docs/formats/data.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/data/text/token_stream.h"

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
/// The same for the document that `file` holds.
TokensFile tokens_from_json(const Json& document, const std::filesystem::path& file);

/// Writes FOLDER/tokens.json, atomically.
void write_tokens_file(const std::filesystem::path& folder, const TokensFile& file);

/// One part of a token folder, checked for its size and hash. Throws InputError when either is wrong.
std::shared_ptr<const TokenStream> open_stored_ids(const std::filesystem::path& file,
                                                   const TokensFile::Part& part, int width);
/// Ids as they are stored: little-endian, `width` bytes each.
std::string pack_ids(std::span<const std::int32_t> ids, int width);

// What token folders and folders of pairs share.
Json pieces_to_json(const std::vector<Piece>& pieces);
std::vector<Piece> pieces_from_json(const Json& value, const std::filesystem::path& file);
/// The count in `key` of `object`. Throws bad_tokens when it is no whole number from 0 to 2^62,
/// Json::exception when it is not there.
std::int64_t stored_count(const Json& object, const char* key, const std::filesystem::path& file);
/// Throws unless `width` is 2 or 4, and `vocab` is at least 2 and the number of pieces.
void check_vocabulary(const std::filesystem::path& file, int width, std::int64_t vocab,
                      const std::vector<Piece>& pieces);
/// Throws InputError: what is wrong with `file`, and to tokenise again.
[[noreturn]] void bad_tokens(const std::filesystem::path& file, const std::string& what);

/// The text of `ids`; ids outside the table and control pieces print nothing.
std::string decode(const std::vector<Piece>& pieces, std::span<const std::int32_t> ids);

}  // namespace evenkeel::data
