#include "evenkeel/config/duration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace evenkeel {

std::int64_t Duration::steps(std::int64_t total_steps, std::int64_t tokens_per_step) const {
  if (value == 0) return 0;
  double steps = value;
  if (unit == Unit::kToken) steps = value / static_cast<double>(tokens_per_step);
  if (unit == Unit::kPercent) steps = value / 100 * static_cast<double>(total_steps);
  constexpr double kLongest = 1e18;  // more than any run, and still a whole number
  return std::max<std::int64_t>(1, std::llround(std::min(steps, kLongest)));
}

std::string Duration::text() const {
  const char* suffix = unit == Unit::kStep ? "step" : unit == Unit::kToken ? "tok" : "%";
  return fmt::format("{}{}", value, suffix);
}

std::optional<Duration> Duration::parse(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  Duration d;
  d.value = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || !std::isfinite(d.value)) return std::nullopt;
  const std::string suffix(end);
  if (suffix == "step" || suffix == "steps") {
    d.unit = Unit::kStep;
  } else if (suffix == "%") {
    d.unit = Unit::kPercent;
  } else {
    d.unit = Unit::kToken;
    if (suffix == "ktok") d.value *= 1e3;
    else if (suffix == "Mtok") d.value *= 1e6;
    else if (suffix == "Gtok") d.value *= 1e9;
    else if (suffix != "tok") return std::nullopt;
  }
  if (d.value > 1e15) return std::nullopt;
  return d;
}

}  // namespace evenkeel
