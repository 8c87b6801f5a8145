#include "evenkeel/config/bind.h"

#include <fmt/format.h>

#include <limits>

#include "evenkeel/base/printable.h"

namespace evenkeel::bind_detail {
namespace {
bool bounded(double x) {
  return std::isfinite(x);
}
}  // namespace

void wrong_value(const std::string& path, const std::string& expected, const Setting& setting) {
  throw InputError(
      fmt::format("[{}] must be {}, got {} ({})", path, expected, excerpt(setting.value), setting.origin));
}

std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.is_number_float()) {
    const double x = value.get<double>();
    if (std::abs(x) < 1e15 && x == std::floor(x)) return static_cast<std::int64_t>(x);
    return std::nullopt;
  }
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kLargest) return std::nullopt;
  if (!value.is_number_integer()) return std::nullopt;
  return value.get<std::int64_t>();
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
                                 excerpt(setting.value), setting.origin));
  }
}

void unknown_key(const std::string& path, const Setting& setting, const std::vector<std::string>& known) {
  const std::string guess = did_you_mean(path, known);
  throw InputError(fmt::format("[{}] is not a known key ({}); {}", shortened(path), setting.origin,
                               guess.empty() ? "`evenkeel config schema` lists every key"
                                             : fmt::format("did you mean \"{}\"?", guess)));
}

}  // namespace evenkeel::bind_detail
