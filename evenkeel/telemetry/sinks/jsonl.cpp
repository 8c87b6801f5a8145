#include "evenkeel/telemetry/sinks/jsonl.h"

#include <cmath>
#include <utility>

#include "evenkeel/base/hash.h"

namespace evenkeel::telemetry {
namespace {

constexpr std::string_view kCrcOpen = "\"crc\":\"";
constexpr std::size_t kCrcTail = kCrcOpen.size() + 8 + 2;  // "crc":"01234567"}

bool has_non_finite(const Json& value) {
  if (value.is_number_float()) return !std::isfinite(value.get<double>());
  if (!value.is_structured()) return false;
  for (const Json& item : value) {
    if (has_non_finite(item)) return true;
  }
  return false;
}

void name_non_finite(Json& value) {
  if (value.is_number_float()) value = json_number(value.get<double>());
  if (!value.is_structured()) return;
  for (Json& item : value) name_non_finite(item);
}

}  // namespace

std::string encode_record(const Json& record) {
  std::string line;
  if (has_non_finite(record)) {
    Json named = record;
    name_non_finite(named);
    line = named.dump();
  } else {
    line = record.dump();
  }
  const std::string crc = hex32(crc32c(line));
  line.pop_back();
  if (line.size() > 1) line += ',';
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
  Json record = Json::parse(body, nullptr, false);
  if (!record.is_object()) return std::nullopt;
  return record;
}

JsonlSink::JsonlSink(fs::path file, std::uint64_t keep_bytes)
    : out_(std::move(file), keep_bytes), offset_(keep_bytes) {}

void JsonlSink::write(const Json& record) {
  const std::string line = encode_record(record);
  out_.write_line(line);
  offset_ += line.size() + 1;
}

}  // namespace evenkeel::telemetry
