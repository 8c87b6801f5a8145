#include "evenkeel/report/signals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "evenkeel/telemetry/detectors.h"

namespace evenkeel::report {
namespace {

/// Largest value; NaN or infinity anywhere makes the result so, whatever the order.
double extreme(const std::vector<double>& values, bool largest) {
  double result = largest ? -INFINITY : INFINITY;
  for (const double v : values) {
    if (std::isnan(v)) return v;
    result = largest ? std::max(result, v) : std::min(result, v);
  }
  return result;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string layer_key(const std::string& kind, int layer, const char* quantity) {
  return fmt::format("attn/{}{}layer{:02d}/{}", kind, kind.empty() ? "" : "_", layer, quantity);
}

/// Combines one number per layer and step into one per step.
runs::Series over_layers(const std::vector<runs::HeadSeries>& layers, bool largest) {
  std::map<std::int64_t, std::vector<double>> by_step;
  for (const auto& layer : layers) {
    for (std::size_t i = 0; i < layer.steps.size(); ++i) {
      if (layer.values[i].empty()) continue;
      by_step[layer.steps[i]].push_back(largest ? extreme(layer.values[i], true) : mean_of(layer.values[i]));
    }
  }
  runs::Series series;
  for (const auto& [step, values] : by_step) {
    series.steps.push_back(step);
    series.values.push_back(extreme(values, largest));
  }
  return series;
}

std::vector<runs::HeadSeries> all_layers(const std::vector<Json>& records, const std::string& kind,
                                         const char* quantity) {
  std::vector<runs::HeadSeries> layers;
  for (int layer = 0;; ++layer) {
    runs::HeadSeries series = runs::head_series(records, layer_key(kind, layer, quantity));
    if (series.steps.empty()) return layers;
    layers.push_back(std::move(series));
  }
}

std::vector<std::vector<double>> last_of(const std::vector<runs::HeadSeries>& layers) {
  std::vector<std::vector<double>> grid;
  for (const auto& layer : layers) grid.push_back(layer.values.back());
  return grid;
}

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double smallest_gradient(const Json& record) {
  double least = kNone;
  for (const auto& [key, value] : record.items()) {
    if (!key.starts_with("tensor/") || !key.ends_with("/grad_rms") || !value.is_number()) continue;
    least = std::fmin(least, value.get<double>());
  }
  return least;
}

double collapsed_share(const std::vector<AttentionSignals>& attention) {
  double heads = 0, collapsed = 0;
  for (const AttentionSignals& a : attention) {
    for (const std::vector<double>& layer : a.end_entropy) {
      heads += static_cast<double>(layer.size());
      for (const double norm : layer) collapsed += norm < telemetry::CollapseDetector::kThreshold ? 1 : 0;
    }
  }
  return heads > 0 ? collapsed / heads : kNone;
}

}  // namespace

Signals read_signals(const fs::path& run) {
  Signals s;
  const auto metrics = runs::read_records(run / "metrics.jsonl");
  s.train_loss = runs::scalar_series(metrics, "loss/train/ce");
  s.valid_loss = runs::scalar_series(metrics, "loss/valid/ce");
  s.output_mean = runs::scalar_series(metrics, "logits/out/mean");
  s.output_logz = runs::scalar_series(metrics, "logits/out/logz");
  const auto heads = runs::read_records(run / "heads.jsonl");
  s.edge_ratio = runs::scalar_series(heads, "curvature/all/edge_ratio");
  for (const Json& record : heads)
    if (const double least = smallest_gradient(record); !std::isnan(least)) s.grad_rms_low = least;
  for (const char* kind : {"", "encoder", "decoder", "cross"}) {
    const auto logits = all_layers(heads, kind, "logit_max");
    if (logits.empty()) continue;
    AttentionSignals a{kind,
                       over_layers(logits, true),
                       over_layers(all_layers(heads, kind, "entropy"), false),
                       over_layers(all_layers(heads, kind, "qk_sigma"), true),
                       last_of(all_layers(heads, kind, "entropy_norm")),
                       last_of(logits)};
    s.end_step = std::max(s.end_step, a.logit_max.steps.back());
    s.attention.push_back(std::move(a));
  }
  s.collapsed_share = collapsed_share(s.attention);
  for (const Json& event : runs::read_records(run / "events.jsonl")) {
    const std::string kind = event.value("kind", "");
    s.spikes += kind == "spike";
    s.collapses += kind == "collapse";
  }
  return s;
}

runs::Series thin(const runs::Series& series, std::size_t max_points) {
  const std::size_t n = series.steps.size();
  if (n <= max_points || max_points < 4) return series;
  const std::size_t stretches = max_points / 2;
  std::vector<std::size_t> keep{0, n - 1};
  for (std::size_t b = 0; b < stretches; ++b) {
    const std::size_t from = b * n / stretches, to = (b + 1) * n / stretches;
    std::size_t low = n, high = n;
    for (std::size_t i = from; i < to; ++i) {
      const double v = series.values[i];
      if (i > 0 && std::isfinite(v) != std::isfinite(series.values[i - 1]))
        keep.insert(keep.end(), {i - 1, i});
      if (!std::isfinite(v)) continue;
      if (low == n || v < series.values[low]) low = i;
      if (high == n || v > series.values[high]) high = i;
    }
    if (low < n) keep.insert(keep.end(), {low, high});
  }
  std::sort(keep.begin(), keep.end());
  keep.erase(std::unique(keep.begin(), keep.end()), keep.end());
  runs::Series out;
  for (const std::size_t i : keep) {
    out.steps.push_back(series.steps[i]);
    out.values.push_back(series.values[i]);
  }
  return out;
}

}  // namespace evenkeel::report
