#include "evenkeel/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/printable.h"

template class nlohmann::basic_json<>;

namespace evenkeel {
namespace {

bool is_nonfinite(const Json& value) {
  return value.is_number_float() && !std::isfinite(value.get<double>());
}

bool holds_nonfinite(const Json& value) {
  if (!value.is_structured()) return is_nonfinite(value);
  for (const Json& item : value)
    if (holds_nonfinite(item)) return true;
  return false;
}

const char* word_of(double value) {
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

std::optional<double> from_word(std::string_view word) {
  if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (word == "inf") return std::numeric_limits<double>::infinity();
  if (word == "-inf") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

void check_key(std::string_view key) {
  if (key.find_first_of(" =[") == std::string_view::npos) return;
  throw std::logic_error("the key \"" + std::string(key) +
                         "\" holds a number that is not finite and cannot be named: it has a space, = or [");
}

void name_object(Json& object, bool always);

// Takes the numbers out of `value`, which the object `items` is about holds at `path`.
void take_out(Json& value, const std::string& path, std::string& items) {
  if (is_nonfinite(value)) {
    items += (items.empty() ? "" : " ") + path + "=" + word_of(value.get<double>());
    value = nullptr;
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      take_out(value[i], path + "[" + std::to_string(i) + "]", items);
  } else if (value.is_object()) {
    name_object(value, false);
  }
}

void name_object(Json& object, bool always) {
  if (object.contains(kNonfinite)) {
    throw std::logic_error(
        "an object has a key \"nonfinite\" of its own, which names numbers that are not finite");
  }
  std::string items;
  for (auto& [key, value] : object.items()) {
    const std::size_t before = items.size();
    take_out(value, key, items);
    if (items.size() != before) check_key(key);
  }
  if (always || !items.empty()) object[kNonfinite] = items;
}

void name_holderless(Json& value) {
  if (is_nonfinite(value)) {
    value = word_of(value.get<double>());
  } else if (value.is_array()) {
    for (Json& item : value) name_holderless(item);
  } else if (value.is_object()) {
    name_object(value, false);
  }
}

// The null that `path` (key and indices) names in `object`; nullptr when there is none.
Json* place_of(Json& object, std::string_view path) {
  const auto found = object.find(std::string(path.substr(0, path.find('['))));
  if (found == object.end()) return nullptr;
  Json* value = &*found;
  for (std::size_t at = path.find('['); at != std::string_view::npos && at < path.size();) {
    const std::size_t end = path.find(']', at);
    if (path[at] != '[' || end == std::string_view::npos) return nullptr;
    std::size_t index = 0;
    const auto [last, error] = std::from_chars(path.data() + at + 1, path.data() + end, index);
    if (error != std::errc() || last != path.data() + end || !value->is_array() || index >= value->size())
      return nullptr;
    value = &(*value)[index];
    at = end + 1;
  }
  return value->is_null() ? value : nullptr;
}

void restore(Json& value, std::string_view where) {
  if (!value.is_structured()) return;
  for (Json& item : value) restore(item, where);
  if (!value.is_object()) return;
  const auto names = value.find(kNonfinite);
  if (names == value.end() || !names->is_string()) return;
  const std::string items = names->get<std::string>();
  value.erase(names);
  for (std::size_t at = 0; at < items.size();) {
    const std::size_t end = std::min(items.find(' ', at), items.size());
    const std::string_view item = std::string_view(items).substr(at, end - at);
    const std::size_t equals = std::min(item.find('='), item.size());  // a key that is named has none
    const auto number = from_word(item.substr(std::min(equals + 1, item.size())));
    Json* const place = place_of(value, item.substr(0, equals));
    if (!number || !place) {
      throw InputError(std::string(where) + ": \"nonfinite\" says \"" + std::string(item) +
                       "\", expected key=nan, key=inf or key=-inf for a key that is null; the file was "
                       "changed: restore it or delete it and run again");
    }
    *place = *number;
    at = end + 1;
  }
}

}  // namespace

Json name_nonfinite(Json document, bool always) {
  if (document.is_object()) name_object(document, always);
  else name_holderless(document);
  return document;
}

Json restore_nonfinite(Json document, std::string_view where) {
  restore(document, where);
  return document;
}

double number_from_json(const Json& value, std::string_view where) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    if (const auto number = from_word(value.get_ref<const std::string&>())) return *number;
  }
  throw InputError("[" + std::string(where) + "] must be a number, got " + excerpt(value));
}

std::int64_t integer_from_json(const Json& value, std::string_view where) {
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kLargest)
    throw InputError("[" + std::string(where) + "] must be a whole number below 2^63, got " + excerpt(value));
  if (!value.is_number_integer())
    throw InputError("[" + std::string(where) + "] must be a whole number, got " + excerpt(value));
  return value.get<std::int64_t>();
}

std::string excerpt(const Json& value) {
  return shortened(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

namespace {

// The place of the bracket that opens one level too many; npos when there is none. Text that is no JSON may
// be misread here and is refused all the same.
std::size_t too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      else if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return at;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return std::string_view::npos;
}

// The library names the number and not its place: "[...] number overflow parsing '1e999'".
JsonFault too_large(std::string_view text, std::string_view message) {
  const std::size_t open = message.find('\''), close = message.rfind('\'');
  const std::string_view number =
      open < close ? message.substr(open + 1, close - open - 1) : std::string_view("one");
  const std::size_t at = text.find(number);
  return {at == std::string_view::npos ? 0 : at + 1,
          "holds a number that is too large, " + shortened(number, 30), false};
}

}  // namespace

Json try_parse_json(std::string_view text, JsonFault* fault, const Json::parser_callback_t& watch) {
  JsonFault found;
  if (const std::size_t at = too_deep(text); at != std::string_view::npos) {
    found = {at + 1, "nests more than " + std::to_string(kDeepestJson) + " levels deep", false};
  } else {
    try {
      return Json::parse(text, watch);
    } catch (const Json::parse_error& e) {
      found = {e.byte, "is not valid JSON"};
    } catch (const Json::out_of_range& e) {
      found = too_large(text, e.what());
    }
  }
  if (fault) *fault = std::move(found);
  return Json(Json::value_t::discarded);
}

Json parse_json(std::string_view text, std::string_view where) {
  JsonFault fault;
  Json document = try_parse_json(text, &fault);
  if (!document.is_discarded()) return restore_nonfinite(std::move(document), where);
  throw InputError(
      std::string(where) + " " + fault.what + " (byte " + std::to_string(fault.byte) + "): " +
      (fault.syntax ? "the file is damaged or was cut short" : "the file is damaged or not evenkeel's") +
      "; restore it or delete it and run again");
}

Json read_json(const std::filesystem::path& file) {
  return parse_json(read_file(file), file.string());
}

std::string json_text(const Json& document, int indent, bool ascii) {
  constexpr auto kReplace = Json::error_handler_t::replace;
  if (!holds_nonfinite(document)) return document.dump(indent, ' ', ascii, kReplace);
  return name_nonfinite(document).dump(indent, ' ', ascii, kReplace);
}

void write_json(const std::filesystem::path& file, const Json& document) {
  std::string text;
  try {
    text = name_nonfinite(document).dump(2) + "\n";
  } catch (const Json::type_error&) {
    throw InputError(
        file.string() +
        " would hold text that is not UTF-8: most likely the name of a file or folder; rename it");
  }
  write_file(file, text);
}

}  // namespace evenkeel
