#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/json.h"
#include "evenkeel/data/text/formats.h"
#include "evenkeel/data/text/tokens_file.h"

namespace evenkeel::data {
namespace {

constexpr const char* kFormat = "evenkeel tokens 1";

[[noreturn]] void bad(const std::filesystem::path& file, const std::string& what) {
  throw InputError(
      fmt::format("[data.path] {}: {}; run `evenkeel data tokenize` again", file.string(), what));
}

std::shared_ptr<const TokenStream> open_part(const std::filesystem::path& file, const TokensFile::Part& part,
                                             int width) {
  const std::int64_t size = checked_size(file, "data.path");
  if (size != part.tokens * width) {
    bad(file, fmt::format("tokens.json promises {} tokens, which make {} bytes, but the file has {}",
                          part.tokens, part.tokens * width, size));
  }
  if (file_hash(file) != part.hash) bad(file, "the content does not match its hash in tokens.json");
  return std::make_shared<FileStream>(file, width, 0, part.tokens);
}

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
    bad(file, "a piece must be null, a byte or a string, got " + value.dump());
  return {Piece::Kind::kByte, std::string(1, static_cast<char>(value.get<unsigned>()))};
}

}  // namespace

TokensFile read_tokens_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokens.json";
  checked_size(file, "data.path");
  const Json j = read_json(file);
  TokensFile t;
  try {
    if (j.at("format") != kFormat) bad(file, "unknown format " + j.at("format").dump());
    t.width = j.at("bytes_per_token").get<int>();
    t.vocab = j.at("vocab").get<std::int64_t>();
    t.end_id = j.at("end_id").get<std::int64_t>();
    t.model_hash = j.at("model_hash").get<std::string>();
    for (auto [name, part] : {std::pair{"train", &t.train}, std::pair{"valid", &t.valid}}) {
      const Json& p = j.at(name);
      *part = {p.at("tokens").get<std::int64_t>(), p.at("documents").get<std::int64_t>(),
               p.at("hash").get<std::string>(), p.at("text_bytes").get<std::int64_t>()};
    }
    for (const Json& piece : j.at("pieces")) t.pieces.push_back(piece_from_json(piece, file));
  } catch (const Json::exception& error) {
    bad(file, std::string("not as evenkeel writes it (") + error.what() + ")");
  }
  if (t.width != 2 && t.width != 4) bad(file, fmt::format("bytes_per_token must be 2 or 4, got {}", t.width));
  if (t.vocab < 2 || static_cast<std::int64_t>(t.pieces.size()) != t.vocab) {
    bad(file, fmt::format("vocab = {} and the number of pieces, {}, must agree and be at least 2", t.vocab,
                          t.pieces.size()));
  }
  return t;
}

void write_tokens_file(const std::filesystem::path& folder, const TokensFile& t) {
  const auto part = [](const TokensFile::Part& p) {
    return Json{
        {"tokens", p.tokens}, {"documents", p.documents}, {"hash", p.hash}, {"text_bytes", p.text_bytes}};
  };
  Json pieces = Json::array();
  for (const Piece& piece : t.pieces) pieces.push_back(piece_to_json(piece));
  write_json(folder / "tokens.json", Json{{"format", kFormat},
                                          {"bytes_per_token", t.width},
                                          {"vocab", t.vocab},
                                          {"end_id", t.end_id},
                                          {"model_hash", t.model_hash},
                                          {"train", part(t.train)},
                                          {"valid", part(t.valid)},
                                          {"pieces", pieces}});
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
  text.train = open_part(folder / "train.bin", t.train, t.width);
  text.valid = open_part(folder / "valid.bin", t.valid, t.width);
  text.fingerprint = content_hash(t.train.hash + " " + t.valid.hash);
  text.name = fmt::format("{}, {} tokens in {} documents; validation {} in {}", last_name(folder),
                          t.train.tokens, t.train.documents, t.valid.tokens, t.valid.documents);
  return text;
}

}  // namespace evenkeel::data
