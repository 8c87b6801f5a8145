#include "evenkeel/runs/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>
#include <stdexcept>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::runs {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor bytes are written as they lie in memory");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the limit of the format

constexpr std::array kTypes{std::pair{TensorType::kF32, std::pair{"F32", std::size_t{4}}},
                            std::pair{TensorType::kF64, std::pair{"F64", std::size_t{8}}},
                            std::pair{TensorType::kBf16, std::pair{"BF16", std::size_t{2}}},
                            std::pair{TensorType::kI64, std::pair{"I64", std::size_t{8}}}};

[[noreturn]] void corrupt(const fs::path& file, std::uint64_t offset, const std::string& what) {
  throw InputError(
      fmt::format("{} is not a sound safetensors file (byte {}): {}; restore it or use another checkpoint",
                  file.string(), offset, what));
}

// The header as JSON; the library would silently let the last of two equal keys win.
Json parse_header(const fs::path& file, std::string_view text) {
  std::set<std::string> names;
  std::string repeated;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second) {
      repeated = parsed.get<std::string>();
    }
    return true;
  };
  JsonFault fault;
  Json header = try_parse_json(text, &fault, watch);
  if (header.is_discarded()) corrupt(file, kLengthBytes + fault.byte, "the header " + fault.what);
  if (!header.is_object()) corrupt(file, kLengthBytes, "the header is no JSON object");
  if (!repeated.empty())
    corrupt(file, kLengthBytes, fmt::format("the header names \"{}\" twice", shortened(repeated)));
  return header;
}

struct Entry {
  TensorBytes tensor;
  std::uint64_t begin = 0, end = 0;
};

// Whole numbers of a JSON list, none negative; nullopt-like: empty and `ok` false when it is anything else.
std::vector<std::uint64_t> whole_numbers(const Json& list, bool& ok) {
  std::vector<std::uint64_t> numbers;
  ok = list.is_array();
  if (!ok) return numbers;
  for (const Json& item : list) {
    ok = ok && item.is_number_unsigned();
    if (ok) numbers.push_back(item.get<std::uint64_t>());
  }
  return numbers;
}

Entry parse_entry(const fs::path& file, const std::string& name, const Json& spec) {
  const auto fail = [&](const std::string& what) -> void {
    corrupt(file, kLengthBytes, fmt::format("tensor \"{}\" {}", shortened(name), what));
  };
  if (!spec.is_object() || !spec.contains("dtype") || !spec.contains("shape") ||
      !spec.contains("data_offsets")) {
    fail("must have dtype, shape and data_offsets");
  }
  Entry entry;
  entry.tensor.name = name;
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const auto& t) { return spec.at("dtype") == t.second.first; });
  if (type == kTypes.end())
    fail("has dtype " + excerpt(spec.at("dtype")) + ", expected F32, F64, BF16 or I64");
  entry.tensor.type = type->first;
  bool ok = false;
  std::uint64_t bytes = type->second.second;
  for (const std::uint64_t extent : whole_numbers(spec.at("shape"), ok)) {
    if (extent > std::uint64_t{1} << 62 || __builtin_mul_overflow(bytes, extent, &bytes))
      fail("has an impossible shape");
    entry.tensor.shape.push_back(static_cast<std::int64_t>(extent));
  }
  if (!ok) fail("has shape " + excerpt(spec.at("shape")) + ", expected a list of sizes");
  const auto offsets = whole_numbers(spec.at("data_offsets"), ok);
  if (!ok || offsets.size() != 2 || offsets[0] > offsets[1]) {
    fail("has data_offsets " + excerpt(spec.at("data_offsets")) + ", expected [begin, end]");
  }
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (entry.end - entry.begin != bytes) {
    fail(
        fmt::format("has {} bytes of data, but its shape and dtype need {}", entry.end - entry.begin, bytes));
  }
  return entry;
}

std::map<std::string, std::string> parse_metadata(const fs::path& file, const Json& words) {
  std::map<std::string, std::string> metadata;
  if (!words.is_object()) corrupt(file, kLengthBytes, "__metadata__ must be an object of strings");
  for (const auto& [key, value] : words.items()) {
    if (!value.is_string()) corrupt(file, kLengthBytes, "__metadata__ must be an object of strings");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

std::string_view tensor_type_name(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].second.first;
}
std::size_t tensor_type_size(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].second.second;
}

void write_safetensors(const fs::path& file, std::vector<TensorBytes> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorBytes& t : tensors) {
    std::uint64_t bytes = tensor_type_size(t.type);
    for (const std::int64_t extent : t.shape) bytes *= static_cast<std::uint64_t>(extent);
    if (t.name.empty() || header.contains(t.name))
      throw std::logic_error("tensor name \"" + t.name + "\" is empty or repeated");
    if (bytes != t.data.size())
      throw std::logic_error("tensor \"" + t.name + "\" has bytes that do not fit its shape");
    header[t.name] = {
        {"dtype", tensor_type_name(t.type)}, {"shape", t.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string head = header.dump();
  head.append((8 - head.size() % 8) % 8, ' ');
  const std::uint64_t length = head.size();
  std::string start(kLengthBytes, '\0');
  std::memcpy(start.data(), &length, kLengthBytes);
  start += head;
  std::vector<std::string_view> parts{start};
  for (const TensorBytes& t : tensors) parts.push_back(t.data);
  write_file(file, std::span<const std::string_view>(parts));
}

Safetensors read_safetensors(const fs::path& file) {
  return parse_safetensors(read_file(file), file);
}

Safetensors parse_safetensors(std::string bytes, const fs::path& file) {
  Safetensors out;
  out.content = std::make_shared<const std::string>(std::move(bytes));
  const std::string_view content(*out.content);
  if (content.size() < kLengthBytes) corrupt(file, content.size(), "it ends inside the header's length");
  std::uint64_t length = 0;
  std::memcpy(&length, content.data(), kLengthBytes);
  if (length > kLongestHeader || length > content.size() - kLengthBytes) {
    corrupt(
        file, 0,
        fmt::format("the header's length is {}, but {} bytes follow", length, content.size() - kLengthBytes));
  }
  const Json header = parse_header(file, content.substr(kLengthBytes, length));
  const std::uint64_t data_start = kLengthBytes + length;
  const std::string_view data = content.substr(data_start);

  std::vector<Entry> entries;
  for (const auto& [name, spec] : header.items()) {
    if (name == "__metadata__") out.metadata = parse_metadata(file, spec);
    else entries.push_back(parse_entry(file, name, spec));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (Entry& entry : entries) {
    if (entry.begin != at || entry.end > data.size()) {
      corrupt(file, data_start + std::min<std::uint64_t>(entry.begin, data.size()),
              fmt::format(
                  "tensor \"{}\" lies at bytes {} to {} of the data, expected to start at {} and end by {}",
                  shortened(entry.tensor.name), entry.begin, entry.end, at, data.size()));
    }
    entry.tensor.data = data.substr(entry.begin, entry.end - entry.begin);
    at = entry.end;
    out.tensors.emplace(entry.tensor.name, std::move(entry.tensor));
  }
  if (at != data.size())
    corrupt(file, data_start + at, fmt::format("{} bytes follow the last tensor", data.size() - at));
  return out;
}

}  // namespace evenkeel::runs
