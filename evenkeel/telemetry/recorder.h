// Collects the numbers of one step and yields them as the two records of the run directory: scalars of the
// whole model (metrics.jsonl) and values per head, layer and tensor (heads.jsonl). Which file a key belongs
// to, and whether there is such a key, the metric table says. It sees numbers, never tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "evenkeel/base/json.h"

namespace evenkeel::telemetry {

class Recorder {
 public:
  /// Starts a record of `step` (optimiser steps done) after `tokens` training tokens; forgets the last one.
  void begin(std::int64_t step, std::int64_t tokens);

  /// One number. Throws std::logic_error when the table has no such scalar or it was given before.
  void scalar(const std::string& key, double value);
  /// One number per head, in order of head.
  void heads(const std::string& key, std::span<const double> values);

  /// The record for metrics.jsonl: step, tokens and what was given.
  const Json& metrics_record() const { return metrics_; }
  /// The record for heads.jsonl; nullopt when nothing per head, layer or tensor was given.
  std::optional<Json> heads_record() const;

 private:
  Json& record_of(const std::string& key, bool per_head);

  Json metrics_ = Json::object(), heads_ = Json::object();
};

}  // namespace evenkeel::telemetry
