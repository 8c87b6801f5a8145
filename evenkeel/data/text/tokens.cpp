#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/data/text/formats.h"
#include "evenkeel/data/text/tokens_file.h"

namespace evenkeel::data {
namespace {

constexpr const char* kFormat = "evenkeel tokens 1";

// A piece in JSON: null prints nothing, a number is one raw byte, a string is text.
Json piece_to_json(const Piece& piece) {
  if (piece.kind == Piece::Kind::kControl) return nullptr;
  if (piece.kind == Piece::Kind::kByte) return static_cast<unsigned char>(piece.text.at(0));
  return piece.text;
}

Piece piece_from_json(const Json& value, const std::filesystem::path& file) {
  if (value.is_null()) return {};
  if (value.is_string()) return {Piece::Kind::kText, value.get<std::string>()};
  if (!value.is_number_unsigned() || value > 255)
    bad_tokens(file, "a piece must be null, a byte or a string, got " + excerpt(value));
  return {Piece::Kind::kByte, std::string(1, static_cast<char>(value.get<unsigned>()))};
}

}  // namespace

void bad_tokens(const std::filesystem::path& file, const std::string& what) {
  throw InputError(
      fmt::format("[data.path] {}: {}; run `evenkeel data tokenize` again", file.string(), what));
}

std::shared_ptr<const TokenStream> open_stored_ids(const std::filesystem::path& file,
                                                   const TokensFile::Part& part, int width) {
  const std::int64_t size = checked_size(file, "data.path");
  if (size % width != 0 || size / width != part.tokens) {
    bad_tokens(file,
               fmt::format("the folder's description promises {} tokens of {} bytes, but the file has {} "
                           "bytes",
                           part.tokens, width, size));
  }
  if (file_hash(file) != part.hash)
    bad_tokens(file, "the content does not match its hash in the folder's description");
  return std::make_shared<FileStream>(file, width, 0, part.tokens);
}

std::string pack_ids(std::span<const std::int32_t> ids, int width) {
  std::string bytes;
  bytes.reserve(ids.size() * static_cast<std::size_t>(width));
  for (const std::int32_t id : ids) {
    for (int k = 0; k < width; ++k)
      bytes += static_cast<char>(static_cast<std::uint32_t>(id) >> (8 * k) & 0xff);
  }
  return bytes;
}

Json pieces_to_json(const std::vector<Piece>& pieces) {
  Json list = Json::array();
  for (const Piece& piece : pieces) list.push_back(piece_to_json(piece));
  return list;
}

std::vector<Piece> pieces_from_json(const Json& value, const std::filesystem::path& file) {
  std::vector<Piece> pieces;
  for (const Json& piece : value) pieces.push_back(piece_from_json(piece, file));
  return pieces;
}

void check_vocabulary(const std::filesystem::path& file, int width, std::int64_t vocab,
                      const std::vector<Piece>& pieces) {
  if (width != 2 && width != 4)
    bad_tokens(file, fmt::format("bytes_per_token must be 2 or 4, got {}", width));
  if (vocab < 2 || std::ssize(pieces) != vocab) {
    bad_tokens(file, fmt::format("vocab = {} and the number of pieces, {}, must agree and be at least 2",
                                 vocab, pieces.size()));
  }
}

TokensFile read_tokens_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokens.json";
  checked_size(file, "data.path");
  return tokens_from_json(read_json(file), file);
}

std::int64_t stored_count(const Json& object, const char* key, const std::filesystem::path& file) {
  const Json& value = object.at(key);
  const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() < std::uint64_t{1} << 62;
  if (!fits) bad_tokens(file, fmt::format("{} must be a count, got {}", key, excerpt(value)));
  return value.get<std::int64_t>();
}

TokensFile tokens_from_json(const Json& j, const std::filesystem::path& file) {
  TokensFile t;
  try {
    if (j.at("format") != kFormat) bad_tokens(file, "unknown format " + excerpt(j.at("format")));
    t.width = static_cast<int>(std::min<std::int64_t>(stored_count(j, "bytes_per_token", file), 99));
    t.vocab = stored_count(j, "vocab", file);
    t.end_id = stored_count(j, "end_id", file);
    t.model_hash = j.at("model_hash").get<std::string>();
    for (auto [name, part] : {std::pair{"train", &t.train}, std::pair{"valid", &t.valid}}) {
      const Json& p = j.at(name);
      *part = {stored_count(p, "tokens", file), stored_count(p, "documents", file),
               p.at("hash").get<std::string>(), stored_count(p, "text_bytes", file)};
    }
    t.pieces = pieces_from_json(j.at("pieces"), file);
  } catch (const Json::exception& error) {
    bad_tokens(file, std::string("not as evenkeel writes it (") + shortened(error.what()) + ")");
  }
  check_vocabulary(file, t.width, t.vocab, t.pieces);
  return t;
}

void write_tokens_file(const std::filesystem::path& folder, const TokensFile& t) {
  const auto part = [](const TokensFile::Part& p) {
    return Json{
        {"tokens", p.tokens}, {"documents", p.documents}, {"hash", p.hash}, {"text_bytes", p.text_bytes}};
  };
  write_json(folder / "tokens.json", Json{{"format", kFormat},
                                          {"bytes_per_token", t.width},
                                          {"vocab", t.vocab},
                                          {"end_id", t.end_id},
                                          {"model_hash", t.model_hash},
                                          {"train", part(t.train)},
                                          {"valid", part(t.valid)},
                                          {"pieces", pieces_to_json(t.pieces)}});
}

std::string decode(const std::vector<Piece>& pieces, std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id >= 0 && static_cast<std::size_t>(id) < pieces.size())
      text += pieces[static_cast<std::size_t>(id)].text;
  }
  return text;
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
  text.train = open_stored_ids(folder / "train.bin", t.train, t.width);
  text.valid = open_stored_ids(folder / "valid.bin", t.valid, t.width);
  text.fingerprint = content_hash(t.train.hash + " " + t.valid.hash);
  text.name = fmt::format("{}, {} tokens in {} documents; validation {} in {}", last_name(folder),
                          t.train.tokens, t.train.documents, t.valid.tokens, t.valid.documents);
  return text;
}

}  // namespace evenkeel::data
