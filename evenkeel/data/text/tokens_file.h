// tokens.json of a token folder: what `evenkeel data tokenize` wrote beside train.bin and valid.bin
// (docs/formats/data.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel::data {

struct TokensFile {
  struct Part {
    std::int64_t tokens = 0, documents = 0;
    std::string hash;  ///< content hash of the .bin file
  };
  int width = 2;  ///< bytes per token, 2 or 4, little-endian
  std::int64_t vocab = 0, end_id = 0;
  Part train, valid;
  std::vector<std::string> pieces;  ///< [V]: text of each id, so that decoding needs no tokeniser
};

/// Reads FOLDER/tokens.json. Throws InputError when it is missing or not as evenkeel writes it.
TokensFile read_tokens_file(const std::filesystem::path& folder);

}  // namespace evenkeel::data
