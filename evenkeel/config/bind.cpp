#include "evenkeel/config/bind.h"

#include <fmt/format.h>

namespace evenkeel::bind_detail {
namespace {
bool bounded(double x) {
  return std::isfinite(x);
}
}  // namespace

void wrong_value(const std::string& path, const std::string& expected, const Setting& setting) {
  throw InputError(
      fmt::format("[{}] must be {}, got {} ({})", path, expected, json_text(setting.value), setting.origin));
}

std::string range_text(const FieldInfo& info) {
  const char* low_sign = info.above_min ? ">" : ">=";
  if (bounded(info.min) && bounded(info.max))
    return fmt::format(" {} {} and <= {}", low_sign, info.min, info.max);
  if (bounded(info.min)) return fmt::format(" {} {}", low_sign, info.min);
  if (bounded(info.max)) return fmt::format(" <= {}", info.max);
  return "";
}

void check_range(const std::string& path, double value, const FieldInfo& info, const Setting& setting) {
  const bool low = info.above_min ? value > info.min : value >= info.min;
  if ((bounded(info.min) && !low) || (bounded(info.max) && value > info.max)) {
    throw InputError(fmt::format("[{}] must be{}, got {} ({})", path, range_text(info),
                                 json_text(setting.value), setting.origin));
  }
}

void unknown_key(const std::string& path, const Setting& setting, const std::vector<std::string>& known) {
  const std::string guess = did_you_mean(path, known);
  throw InputError(fmt::format("[{}] is not a known key ({}); {}", path, setting.origin,
                               guess.empty() ? "`evenkeel config schema` lists every key"
                                             : fmt::format("did you mean \"{}\"?", guess)));
}

}  // namespace evenkeel::bind_detail
