#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/json.h"
#include "evenkeel/data/text/formats.h"
#include "evenkeel/data/text/tokens_file.h"

namespace evenkeel::data {
namespace {

[[noreturn]] void bad(const std::filesystem::path& file, const std::string& what) {
  throw InputError(
      fmt::format("[data.path] {}: {}; run `evenkeel data tokenize` again", file.string(), what));
}

std::shared_ptr<const TokenStream> open_part(const std::filesystem::path& file, const TokensFile::Part& part,
                                             int width) {
  const std::int64_t size = checked_size(file, "path");
  if (size != part.tokens * width) {
    bad(file, fmt::format("tokens.json promises {} tokens, which make {} bytes, but the file has {}",
                          part.tokens, part.tokens * width, size));
  }
  if (file_hash(file) != part.hash) bad(file, "the content does not match its hash in tokens.json");
  return std::make_shared<FileStream>(file, width, 0, part.tokens);
}

}  // namespace

TokensFile read_tokens_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokens.json";
  checked_size(file, "path");
  const Json j = read_json(file);
  TokensFile t;
  try {
    if (j.at("format") != "evenkeel tokens 1") bad(file, "unknown format " + j.at("format").dump());
    t.width = j.at("bytes_per_token").get<int>();
    t.vocab = j.at("vocab").get<std::int64_t>();
    t.end_id = j.at("end_id").get<std::int64_t>();
    for (auto [name, part] : {std::pair{"train", &t.train}, std::pair{"valid", &t.valid}}) {
      part->tokens = j.at(name).at("tokens").get<std::int64_t>();
      part->documents = j.at(name).at("documents").get<std::int64_t>();
      part->hash = j.at(name).at("hash").get<std::string>();
    }
    t.pieces = j.at("pieces").get<std::vector<std::string>>();
  } catch (const Json::exception& error) {
    bad(file, std::string("not as evenkeel writes it (") + error.what() + ")");
  }
  if (t.width != 2 && t.width != 4) bad(file, fmt::format("bytes_per_token must be 2 or 4, got {}", t.width));
  if (t.vocab < 2 || static_cast<std::int64_t>(t.pieces.size()) != t.vocab) {
    bad(file, fmt::format("vocab = {} and {} pieces must agree and be at least 2", t.vocab, t.pieces.size()));
  }
  return t;
}

OpenedText open_tokens(const DataSpec& spec) {
  const std::filesystem::path folder = *spec.path;
  if (spec.valid_path) {
    throw InputError(
        fmt::format("[data.valid_path] {}: token data bring their own valid.bin; leave data.valid_path out",
                    *spec.valid_path));
  }
  const TokensFile t = read_tokens_file(folder);
  OpenedText text;
  text.vocab = t.vocab;
  text.train = open_part(folder / "train.bin", t.train, t.width);
  text.valid = open_part(folder / "valid.bin", t.valid, t.width);
  text.fingerprint = content_hash(t.train.hash + " " + t.valid.hash);
  text.name = fmt::format("{}, {} tokens in {} documents; validation {} in {}", folder.string(),
                          t.train.tokens, t.train.documents, t.valid.tokens, t.valid.documents);
  return text;
}

}  // namespace evenkeel::data
