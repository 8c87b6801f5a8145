// JSON as evenkeel writes it: keys sorted, shortest round-trip numbers, and non-finite numbers as the strings
// "nan", "inf" and "-inf", because the JSON library would write null and a divergence must never look like a
// missing value.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace evenkeel {

using Json = nlohmann::json;

/// A number for a JSON document; non-finite values become "nan", "inf", "-inf".
Json json_number(double value);

/// The inverse of json_number. Throws InputError (with `where`) when `value` is neither a number nor one of
/// the three strings.
double number_from_json(const Json& value, std::string_view where);

/// Parses `text`; throws InputError naming `where` and the byte offset.
Json parse_json(std::string_view text, std::string_view where);

/// Reads and parses a whole file. Throws EnvironmentError when it cannot be read, InputError when it is no
/// JSON.
Json read_json(const std::filesystem::path& file);

/// One line, or indented; for people and pipes: bytes that are not UTF-8 become U+FFFD.
std::string json_text(const Json& document, int indent = -1);

/// Atomic: either the old file or the whole new one is there, also after a power cut. Indented, with final
/// newline. Throws InputError for text that is not UTF-8.
void write_json(const std::filesystem::path& file, const Json& document);

}  // namespace evenkeel
