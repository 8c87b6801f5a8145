#include "evenkeel/config/settings.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/utf8.h"

namespace evenkeel {
namespace {

Json to_json_value(const toml::node& node) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* i = node.as_integer()) return i->get();
  if (const auto* f = node.as_floating_point()) {
    // No setting takes nan or inf; the word is what the refusal repeats.
    if (!std::isfinite(f->get())) return fmt::format("{}", f->get());
    return f->get();
  }
  if (const auto* b = node.as_boolean()) return b->get();
  if (const auto* a = node.as_array()) {
    Json list = Json::array();
    for (const auto& item : *a) list.push_back(to_json_value(item));
    return list;
  }
  if (const auto* t = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *t) object[std::string(key.str())] = to_json_value(value);
    return object;
  }
  std::ostringstream text;
  text << toml::node_view<const toml::node>(node);
  return text.str();
}

// Parts that a dotted key may have; the longest that means anything has four.
constexpr int kMostParts = 16;

struct Unparsable {
  int line;
  std::string what;  ///< follows the name of the text
};

// What must not reach the parser: a key of very many parts, for each of which parser, tables and this file go
// one level down the stack, and characters beyond ASCII outside of quotes and comments, where TOML has none
// and toml++ 3.3 has undefined behaviour for some.
std::optional<Unparsable> unparsable(std::string_view text) {
  int parts = 1, line = 1;
  for (std::size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size()) - 1;
    } else if (c == '"' || c == '\'') {
      const std::string three(3, c);
      const bool lines = text.substr(at, 3) == three;
      std::size_t end = at + (lines ? 3 : 1);
      while (end < text.size() &&
             (lines ? text.substr(end, 3) != three : text[end] != c && text[end] != '\n')) {
        line += text[end] == '\n';
        end += c == '"' && text[end] == '\\' ? 2 : 1;
      }
      at = lines ? end + 2 : end < text.size() && text[end] == '\n' ? end - 1 : end;
    } else if (c == '.') {
      if (++parts > kMostParts) {
        return Unparsable{
            line, fmt::format("has a key of more than {} parts, joined by dots; no setting has so many",
                              kMostParts)};
      }
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return Unparsable{line, "is not valid TOML: a character beyond ASCII outside of quotes"};
    } else if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) {
      parts = 1;
      line += c == '\n';
    }
  }
  return std::nullopt;
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& file, bool quoted_paths,
             const std::vector<std::string>& keep_whole, Settings& out) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string path = prefix.empty() ? name : prefix + "." + name;
    const std::string origin = fmt::format("{}:{}", file, key.source().begin.line);
    const auto* sub = node.as_table();
    if (sub && !quoted_paths) {
      const bool whole = std::find(keep_whole.begin(), keep_whole.end(), path) != keep_whole.end();
      flatten(*sub, path, file, whole, keep_whole, out);
    } else {
      out[path] = {to_json_value(node), origin};
    }
  }
}

void flatten(const Json& object, const std::string& prefix, const std::string& origin, Settings& out) {
  for (const auto& [key, value] : object.items()) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object()) flatten(value, path, origin, out);
    else out[path] = {value, origin};
  }
}

}  // namespace

Settings settings_from_toml_text(std::string_view text, const std::string& file_name,
                                 const std::vector<std::string>& keep_whole) {
  if (const auto bad = unparsable(text))
    throw InputError(fmt::format("{}:{} {}", file_name, bad->line, bad->what));
  try {
    Settings out;
    flatten(toml::parse(text, file_name), "", file_name, false, keep_whole, out);
    return out;
  } catch (const toml::parse_error& e) {
    throw InputError(fmt::format("{}:{}:{} is not valid TOML: {}", file_name, e.source().begin.line,
                                 e.source().begin.column, shortened(e.description(), 300)));
  }
}

Settings settings_from_toml(const std::filesystem::path& file, const std::vector<std::string>& keep_whole) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const EnvironmentError& e) {
    throw InputError(e.what());  // a config that cannot be read is bad usage, not a failing machine
  }
  return settings_from_toml_text(text, file.string(), keep_whole);
}

Settings settings_from_json(const Json& document, const std::string& origin) {
  if (!document.is_object()) throw InputError(origin + " must hold a JSON object with the configuration");
  Settings out;
  flatten(document, "", origin, out);
  return out;
}

std::pair<std::string, Setting> parse_assignment(std::string_view text, const std::string& origin) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InputError(
        fmt::format("{} needs key=value, for example --set optim.lr=0.01, got \"{}\"", origin, text));
  }
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos) {
    throw InputError(fmt::format(
        "{} takes UTF-8 text, and byte {} of {} is not; rename the file, or set the terminal to UTF-8",
        origin, bad + 1, json_text(Json(std::string(text)))));
  }
  const std::string key(text.substr(0, equals)), value(text.substr(equals + 1));
  if (unparsable(value)) return {key, {Json(value), origin}};  // a path with many dots, or of other letters
  try {
    const auto table = toml::parse("v = " + value);
    if (table.size() == 1) return {key, {to_json_value(*table.get("v")), origin}};
  } catch (const toml::parse_error&) {
    // not a TOML value: a bare word such as a path or a choice
  }
  return {key, {Json(value), origin}};
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  // Levenshtein distance; a slip is at most three edits and less than half of the word.
  if (word.size() > 200) return "";
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(3, word.size() / 4) + 1;
  const auto consider = [&](std::string_view typed, std::string_view candidate, const std::string& name) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= typed.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (typed[i - 1] == candidate[j - 1] ? 0 : 1)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance && row.back() * 2 <= std::max(typed.size(), std::size_t{2})) {
      best_distance = row.back();
      best = name;
    }
  };
  for (const std::string& name : known) consider(word, name, name);
  if (!best.empty()) return best;
  // The right name in the wrong section, or without one: compare last parts.
  const std::string_view last =
      word.substr(word.rfind('.') == std::string_view::npos ? 0 : word.rfind('.') + 1);
  for (const std::string& name : known) {
    const auto dot = name.rfind('.');
    consider(last, std::string_view(name).substr(dot == std::string::npos ? 0 : dot + 1), name);
  }
  return best;
}

}  // namespace evenkeel
