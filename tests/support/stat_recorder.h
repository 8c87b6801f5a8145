// What a forward pass reports, under its keys.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evenkeel/nn/context.h"

namespace evenkeel::test {

struct StatRecorder : nn::StatSink {
  std::map<std::string, std::vector<double>> values;  ///< a single number is a list of one
  void heads(std::string_view key, std::vector<double> v) override {
    values[std::string(key)] = std::move(v);
  }
  void scalar(std::string_view key, double v) override { values[std::string(key)] = {v}; }
};

}  // namespace evenkeel::test
