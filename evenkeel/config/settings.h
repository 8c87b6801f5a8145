// Settings: dotted paths with raw values and where each came from. A TOML file, `--set a.b=v`, a sweep axis
// and a resolved config on disk all become Settings; config/bind.h puts them into config structs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel {

struct Setting {
  Json value;
  std::string origin;  ///< "sweep.toml:14", "--set", "axis optim.lr"
};

/// Dotted path -> setting. Later sources overwrite earlier ones.
using Settings = std::map<std::string, Setting>;

/// Reads a TOML file and flattens its tables to dotted paths; arrays stay values. `table_name` of the tables
/// in `keep_whole` are not flattened (their keys may themselves be dotted paths, like the sweep axes). Throws
/// InputError with file, line and column for bad TOML.
Settings settings_from_toml(const std::filesystem::path& file,
                            const std::vector<std::string>& keep_whole = {});
Settings settings_from_toml_text(std::string_view text, const std::string& file_name,
                                 const std::vector<std::string>& keep_whole = {});

/// Flattens nested JSON objects; every setting gets `origin`.
Settings settings_from_json(const Json& document, const std::string& origin);

/// "a.b=v": v is read as a TOML value (0.1, true, "x", [1, 2]) and, when it is none, taken as a string.
std::pair<std::string, Setting> parse_assignment(std::string_view text, const std::string& origin = "--set");

/// The name in `known` closest to `word` when it is close enough to be a slip, else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace evenkeel
