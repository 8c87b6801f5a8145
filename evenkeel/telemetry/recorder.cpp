#include "evenkeel/telemetry/recorder.h"

#include <stdexcept>
#include <utility>

#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::telemetry {
namespace {

template <class T>
Json numbers(std::span<const T> values) {
  Json list = Json::array();
  for (const T value : values) list.push_back(static_cast<double>(value));
  return list;
}

}  // namespace

void Recorder::begin(std::int64_t step, std::int64_t tokens) {
  metrics_ = {{"step", step}, {"tokens", tokens}};
  heads_ = {{"step", step}};
}

Json& Recorder::record_of(const std::string& key, bool per_head) {
  const Metric* metric = find_metric(key);
  if (!metric || (metric->shape == MetricShape::kPerHead) != per_head) {
    throw std::logic_error("telemetry key \"" + key +
                           "\" is not declared with this shape in telemetry/metric_table.cpp");
  }
  Json& record = metric->file == LineFile::kHeads ? heads_ : metrics_;
  if (record.contains(key))
    throw std::logic_error("telemetry key \"" + key + "\" was recorded twice in one step");
  return record;
}

void Recorder::scalar(const std::string& key, double value) {
  record_of(key, false)[key] = value;
}

void Recorder::heads(const std::string& key, std::span<const double> values) {
  record_of(key, true)[key] = numbers(values);
}

std::optional<Json> Recorder::heads_record() const {
  if (heads_.size() <= 1) return std::nullopt;
  return heads_;
}

}  // namespace evenkeel::telemetry
