// The readers of what comes from outside, each as a function of bytes: tests/fuzz/fuzz.cpp makes a libFuzzer
// program of each, and plain_tests replays the committed corpus through the same functions.
#pragma once

#include <string_view>
#include <vector>

namespace evenkeel::fuzz {

struct Target {
  const char* name;  ///< also the folder of its corpus, tests/fuzz/corpus/NAME
  /// Returns for bytes that are refused as for those that are read; any exception but InputError and
  /// EnvironmentError is let through, and is a finding.
  void (*run)(std::string_view bytes);
};

const std::vector<Target>& targets();

}  // namespace evenkeel::fuzz
