#include "evenkeel/telemetry/sinks/jsonl.h"

#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"

namespace evenkeel::telemetry {
namespace {

constexpr std::string_view kCrcOpen = "\"crc\":\"";
constexpr std::size_t kCrcTail = kCrcOpen.size() + 8 + 2;  // "crc":"01234567"}

// Earlier versions wrote no key "nonfinite" and words in place of numbers; no text of a record is such a
// word. Under a key that "nonfinite" could not name the words stay, or the record could not be written again.
void replace_words(Json& value) {
  if (value == "nan" || value == "inf" || value == "-inf") value = number_from_json(value, "record");
  if (value.is_array()) {
    for (Json& item : value) replace_words(item);
  } else if (value.is_object()) {
    for (auto& [key, item] : value.items())
      if (key.find_first_of(" =[") == std::string::npos) replace_words(item);
  }
}

}  // namespace

std::string encode_record(const Json& record) {
  std::string line = name_nonfinite(record, true).dump();
  const std::string crc = hex32(crc32c(line));
  line.back() = ',';
  return line.append(kCrcOpen).append(crc).append("\"}");
}

std::optional<Json> decode_record(std::string_view line) {
  if (line.size() < kCrcTail + 1 || line.front() != '{') return std::nullopt;
  const std::string_view tail = line.substr(line.size() - kCrcTail);
  if (!tail.starts_with(kCrcOpen) || !tail.ends_with("\"}")) return std::nullopt;
  std::string body(line.substr(0, line.size() - kCrcTail));
  if (body.size() > 1) {
    if (body.back() != ',') return std::nullopt;
    body.pop_back();
  }
  body += '}';
  if (hex32(crc32c(body)) != tail.substr(kCrcOpen.size(), 8)) return std::nullopt;
  Json record = try_parse_json(body);
  if (!record.is_object()) return std::nullopt;
  if (!record.contains(kNonfinite)) {
    replace_words(record);
    return record;
  }
  try {
    return restore_nonfinite(std::move(record), "record");
  } catch (const InputError&) {
    return std::nullopt;
  }
}

JsonlSink::JsonlSink(fs::path file, std::uint64_t keep_bytes)
    : out_(std::move(file), keep_bytes), offset_(keep_bytes) {}

void JsonlSink::write(const Json& record) {
  const std::string line = encode_record(record);
  out_.write_line(line);
  offset_ += line.size() + 1;
}

}  // namespace evenkeel::telemetry
