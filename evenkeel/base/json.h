// JSON as evenkeel writes it: keys sorted, shortest round-trip numbers.
//
// A divergence must never look like a missing value, and JSON has no number for it. In memory a Json holds
// NaN and the infinities as what they are; in text each is null, and the object that holds it names it in the
// key "nonfinite":
//
//   {"grad/norm": 12.5, "loss": null, "nonfinite": "loss=nan scores[0][2]=-inf", "scores": [[1, 2, null]]}
//
// Items are `key=nan|inf|-inf`, separated by spaces, in order of key; elements of arrays have their indices
// behind the key. The nearest enclosing object holds a number, also through arrays. So null without an entry
// is only ever "not there", every reader of JSON reads these files, and a column stays a column of numbers.
// All text of documents goes through the functions below, which translate; nothing else has to know.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

extern template class nlohmann::basic_json<>;  // compiled once, in json.cpp

namespace evenkeel {

using Json = nlohmann::json;

/// The key that names what is not finite. No object of a document may have it for anything else.
inline constexpr const char* kNonfinite = "nonfinite";

/// `document` with null and "nonfinite" for numbers that are not finite. With `always` the outermost object
/// gets the key in any case, "" when all is finite. A number that no object holds becomes the word "nan",
/// "inf" or "-inf". Throws std::logic_error when an object has the key already or would have to name a key
/// with a space, "=" or "[".
Json name_nonfinite(Json document, bool always = false);

/// The inverse: numbers in their place, the key removed. A "nonfinite" that is no string is left alone: it is
/// something else in a foreign document. Throws InputError (with `where`) when the key names what is not
/// there, is not null, or no such number.
Json restore_nonfinite(Json document, std::string_view where);

/// A number of a document, possibly not finite; also the words "nan", "inf", "-inf", which stood for it in
/// files written by earlier versions. Throws InputError (with `where`) for anything else.
double number_from_json(const Json& value, std::string_view where);

/// The same for a whole number that std::int64_t holds; 3.0 is none.
std::int64_t integer_from_json(const Json& value, std::string_view where);

/// A value as a sentence quotes it: as JSON, shortened.
std::string excerpt(const Json& value);

/// Levels of lists and objects that a document may have. Those that evenkeel writes have fewer than ten.
inline constexpr std::size_t kDeepestJson = 100;

/// Why a text cannot be read as JSON.
struct JsonFault {
  std::size_t byte = 0;  ///< where, from 1
  std::string what;      ///< "is not valid JSON", to follow the name of the text
  bool syntax = true;    ///< false: it is JSON, but nests too deep or holds a number that no double holds
};

/// All JSON text is parsed here. Its numbers are not restored. `watch` sees the parser's events. What cannot
/// be read gives a value that is_discarded() and, where asked for, its `fault`.
Json try_parse_json(std::string_view text, JsonFault* fault = nullptr,
                    const Json::parser_callback_t& watch = nullptr);

/// Parses `text` and restores its numbers; throws InputError naming `where` and the byte offset.
Json parse_json(std::string_view text, std::string_view where);

/// Reads and parses a whole file. Throws EnvironmentError when it cannot be read, InputError when it is no
/// JSON.
Json read_json(const std::filesystem::path& file);

/// One line, or indented; for people and pipes: bytes that are not UTF-8 become U+FFFD. With `ascii` all
/// other characters are escaped.
std::string json_text(const Json& document, int indent = -1, bool ascii = false);

/// Atomic: either the old file or the whole new one is there, also after a power cut. Indented, with final
/// newline. Throws InputError for text that is not UTF-8.
void write_json(const std::filesystem::path& file, const Json& document);

}  // namespace evenkeel
