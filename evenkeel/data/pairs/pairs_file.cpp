#include "evenkeel/data/pairs/pairs_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/data/text/formats.h"
#include "evenkeel/spec/data.h"

namespace evenkeel::data {
namespace {

constexpr const char* kFormat = "evenkeel pairs 1";

Json side_to_json(const PairsFile::Side& s) {
  return {{"tokens", s.tokens}, {"hash", s.hash}, {"text_bytes", s.text_bytes}};
}

Json part_to_json(const PairsFile::Part& p) {
  return {{"pairs", p.pairs}, {"source", side_to_json(p.source)}, {"target", side_to_json(p.target)}};
}

PairsFile::Part part_from_json(const Json& j, const std::filesystem::path& file) {
  const auto side = [&file](const Json& s) {
    return PairsFile::Side{stored_count(s, "tokens", file), s.at("hash").get<std::string>(),
                           stored_count(s, "text_bytes", file)};
  };
  return {stored_count(j, "pairs", file), side(j.at("source")), side(j.at("target"))};
}

}  // namespace

PairsFile read_pairs_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "pairs.json";
  checked_size(file, "data.path");
  return pairs_from_json(read_json(file), file);
}

PairsFile pairs_from_json(const Json& j, const std::filesystem::path& file) {
  PairsFile p;
  try {
    if (j.at("format") != kFormat) bad_tokens(file, "unknown format " + excerpt(j.at("format")));
    p.width = static_cast<int>(std::min<std::int64_t>(stored_count(j, "bytes_per_token", file), 99));
    p.vocab = stored_count(j, "vocab", file);
    p.model_hash = j.at("model_hash").get<std::string>();
    p.train = part_from_json(j.at("train"), file);
    p.valid = part_from_json(j.at("valid"), file);
    if (j.contains("test")) p.test = part_from_json(j.at("test"), file);
    p.pieces = pieces_from_json(j.at("pieces"), file);
  } catch (const Json::exception& error) {
    bad_tokens(file, std::string("not as evenkeel writes it (") + shortened(error.what()) + ")");
  }
  check_vocabulary(file, p.width, p.vocab, p.pieces);
  if (p.vocab <= PairIds::kUnknown)
    bad_tokens(file, fmt::format("vocab must be above {}, got {}", PairIds::kUnknown, p.vocab));
  return p;
}

void write_pairs_file(const std::filesystem::path& folder, const PairsFile& p) {
  Json j = {{"format", kFormat},
            {"bytes_per_token", p.width},
            {"vocab", p.vocab},
            {"bos_id", PairIds::kBos},
            {"pad_id", PairIds::kPad},
            {"end_id", PairIds::kEnd},
            {"model_hash", p.model_hash},
            {"train", part_to_json(p.train)},
            {"valid", part_to_json(p.valid)},
            {"pieces", pieces_to_json(p.pieces)}};
  if (p.test) j["test"] = part_to_json(*p.test);
  write_json(folder / "pairs.json", j);
}

std::string pairs_bin_name(std::string_view part, std::string_view side) {
  return fmt::format("{}.{}.bin", part, side);
}

}  // namespace evenkeel::data
