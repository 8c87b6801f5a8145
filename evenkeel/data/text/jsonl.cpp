#include <fmt/format.h>

#include <cerrno>
#include <fstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/data/text/formats.h"

namespace evenkeel::data {
namespace {

constexpr std::uint16_t kDocumentEnd = 256;

std::shared_ptr<const TokenStream> jsonl_stream(const std::string& file, const char* tag,
                                                const std::string& field) {
  if (checked_size(file, tag) == 0) {
    throw InputError(fmt::format(
        "[{}] {}: the file is empty (0 bytes); give a file with one JSON object per line", tag, file));
  }
  std::vector<std::uint16_t> ids;
  for_each_json_line(file, tag, field, [&ids](const std::string& text) {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    ids.push_back(kDocumentEnd);
  });
  return std::make_shared<MemoryStream>(std::move(ids), file);
}

}  // namespace

void for_each_json_line(const std::string& file, const char* tag, const std::string& field,
                        const std::function<void(const std::string&)>& use) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw EnvironmentError(explain_errno("read", file, errno));
  for_each_json_line(in, file, tag, field, use);
}

void for_each_json_line(std::istream& in, const std::string& file, const char* tag, const std::string& field,
                        const std::function<void(const std::string&)>& use) {
  std::int64_t number = 0, offset = 0;
  for (std::string line; std::getline(in, line); offset += static_cast<std::int64_t>(line.size()) + 1) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto fail = [&](std::int64_t at, const std::string& what) {
      throw InputError(fmt::format("[{}] {}:{}, byte {}: {}", tag, file, number, offset + at, what));
    };
    JsonFault fault;
    const Json document = try_parse_json(line, &fault);
    if (document.is_discarded()) {
      const auto at = fault.byte > 0 ? static_cast<std::int64_t>(fault.byte) - 1 : 0;
      fail(at, fmt::format("this line {}; mend or remove it (one object per line, UTF-8)",
                           fault.syntax ? "is no JSON object" : fault.what));
    }
    if (!document.is_object()) fail(0, "expected a JSON object on each line, such as {\"text\": \"...\"}");
    const auto found = document.find(field);
    if (found == document.end() || !found->is_string()) {
      std::string names;
      for (const auto& [name, value] : document.items()) {
        if (value.is_string()) names += (names.empty() ? "" : ", ") + shortened(name, 40);
      }
      fail(0, fmt::format("no text in field \"{}\"; set data.text_field to the field that holds it (text "
                          "fields here: {})",
                          field, names.empty() ? "none" : shortened(names, 400)));
    }
    use(found->get_ref<const std::string&>());
  }
  if (in.bad()) throw EnvironmentError(explain_errno("read", file, errno));
}

OpenedText open_jsonl(const DataSpec& spec) {
  OpenedText text;
  text.unit = "tokens";
  text.vocab = 257;
  text.train = jsonl_stream(*spec.path, "data.path", spec.text_field);
  if (spec.valid_path) text.valid = jsonl_stream(*spec.valid_path, "data.valid_path", spec.text_field);
  text.fingerprint = files_fingerprint(spec);
  text.name = describe_files(spec, text.train->size(), text.valid ? text.valid->size() : 0, text.unit);
  return text;
}

}  // namespace evenkeel::data
