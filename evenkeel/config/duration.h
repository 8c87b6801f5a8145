// A length of training with its unit: "500step", "10Mtok" or "5%" (of the run).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel {

struct Duration {
  enum class Unit { kStep, kToken, kPercent };
  double value = 0;
  Unit unit = Unit::kStep;

  /// Whole optimiser steps, rounded to nearest but at least 1 unless the length is 0, and at most 1e18;
  /// tokens are divided by `tokens_per_step`.
  std::int64_t steps(std::int64_t total_steps, std::int64_t tokens_per_step) const;
  std::string text() const;
  /// Accepts k, M, G before "tok"; nullopt when `text` is no duration or a number above 1e15.
  static std::optional<Duration> parse(std::string_view text);
  bool operator==(const Duration&) const = default;
};

}  // namespace evenkeel
