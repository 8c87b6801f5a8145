#include "evenkeel/base/json.h"

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"

namespace evenkeel {

Json json_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_from_json(const Json& value, std::string_view where) {
  if (value.is_number()) return value.get<double>();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  throw InputError("[" + std::string(where) + "] must be a number, \"nan\", \"inf\" or \"-inf\", got " +
                   value.dump());
}

Json parse_json(std::string_view text, std::string_view where) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    throw InputError(std::string(where) + " is not valid JSON (byte " + std::to_string(e.byte) +
                     "): the file is damaged or was cut short; restore it or delete it and run again");
  }
}

Json read_json(const std::filesystem::path& file) {
  return parse_json(read_file(file), file.string());
}

std::string json_text(const Json& document, int indent) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void write_json(const std::filesystem::path& file, const Json& document) {
  std::string text;
  try {
    text = document.dump(2) + "\n";
  } catch (const Json::type_error&) {
    throw InputError(
        file.string() +
        " would hold text that is not UTF-8: most likely the name of a file or folder; rename it");
  }
  write_file(file, text);
}

}  // namespace evenkeel
