// The settings that an experiment is made of, asked for in sentences about them: whether one was given, and
// where.
#pragma once

#include <fmt/format.h>

#include <string>

#include "evenkeel/config/settings.h"

namespace evenkeel {

struct Experiment;

class Given {
 public:
  /// Keeps a reference.
  explicit Given(const Settings& settings) : settings_(settings) {}

  bool has(const std::string& path) const { return settings_.contains(path); }
  /// Given, and not as "auto".
  bool decides(const std::string& path) const {
    const auto it = settings_.find(path);
    return it != settings_.end() && it->second.value != "auto" && !it->second.value.is_null();
  }
  /// "study.toml:14", or "default" where it was not given.
  std::string origin(const std::string& path) const {
    const auto it = settings_.find(path);
    return it == settings_.end() ? "default" : it->second.origin;
  }
  /// "[optim.lr] = 0.1 (study.toml:14)".
  template <class Value>
  std::string text(const std::string& path, const Value& value) const {
    return fmt::format("[{}] = {} ({})", path, value, origin(path));
  }
  /// The same with the value that `experiment` has; a text with its quotes.
  std::string text(const Experiment& experiment, const std::string& path) const;

 private:
  const Settings& settings_;
};

}  // namespace evenkeel
