// Every quantity a run records, declared once: key, unit, shape, reduction, cost, meaning and source. The
// recorder checks keys against it; listings, docs and the report's definitions are derived from it.
//
// An id may hold one placeholder: {layer} stands for layer00, layer01, ... and {parameter} for the dotted
// name of a parameter. Keys read area/site/quantity.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "evenkeel/base/json.h"

namespace evenkeel::telemetry {

enum class MetricShape { kScalar, kPerHead };
enum class LineFile { kMetrics, kHeads, kBoth };

struct Metric {
  const char* id;
  const char* unit;  ///< "" is a pure number
  MetricShape shape = MetricShape::kScalar;
  LineFile file = LineFile::kMetrics;
  const char* reduction;  ///< over what it is averaged, summed or maximised
  const char* cost;       ///< where the number comes from and what that adds to a step
  const char* doc;
  const char* source;
};

/// The whole table, in the order of the docs.
std::span<const Metric> metric_table();

/// The row that `key` belongs to; nullptr when there is none.
const Metric* find_metric(std::string_view key);

/// "tensor/blocks.0.attn.q.weight/grad_rms".
std::string tensor_key(std::string_view parameter, std::string_view quantity);

/// "layer00" of "blocks.0.attn.q.weight", "encoder_layer00" of "encoder.layers.0.mlp.fc1.weight"; "" outside
/// of blocks.
std::string layer_of(std::string_view parameter);

/// "spectrum/head.weight/sigma".
std::string spectrum_key(std::string_view parameter, std::string_view quantity);

/// The table as JSON: [{"id", "unit", "shape": "scalar" | "head", "file": "metrics" | "heads" | "both",
/// "reduction", "cost", "doc", "source"}].
Json metric_listing();
/// The table as Markdown, one row per metric.
std::string metric_listing_markdown();

}  // namespace evenkeel::telemetry
