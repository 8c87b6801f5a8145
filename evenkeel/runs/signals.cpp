#include "evenkeel/runs/signals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "evenkeel/telemetry/detectors.h"

namespace evenkeel::runs {
namespace {

/// The heads of one layer in a record; empty when it has none.
std::vector<double> heads_of(const Json& record, const std::string& key) {
  std::vector<double> heads;
  const auto value = record.find(key);
  if (value == record.end() || !value->is_array()) return heads;
  for (const Json& item : *value) heads.push_back(number_from_json(item, key));
  return heads;
}

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

/// Adds what a record says of the heads of one kind, folded over layers and heads.
void add_heads(AttentionSignals& kind, const Json& record) {
  const auto layers = [&](const char* quantity) {
    std::vector<std::vector<double>> found;
    for (int layer = 0;; ++layer) {
      std::vector<double> heads = heads_of(record, layer_key(kind.kind, layer, quantity));
      if (heads.empty()) return found;
      found.push_back(std::move(heads));
    }
  };
  const auto step = integer_from_json(record.at("step"), "step");
  const auto add = [&](Series& series, const std::vector<std::vector<double>>& values, bool largest) {
    if (values.empty()) return;
    std::vector<double> per_layer;
    for (const auto& heads : values) per_layer.push_back(largest ? extreme(heads, true) : mean_of(heads));
    series.steps.push_back(step);
    series.values.push_back(extreme(per_layer, largest));
  };
  const auto logits = layers("logit_max"), norms = layers("entropy_norm");
  add(kind.logit_max, logits, true);
  add(kind.entropy_min, layers("entropy"), false);
  add(kind.qk_sigma_max, layers("qk_sigma"), true);
  if (!logits.empty()) kind.end_logit_max = logits;
  if (!norms.empty()) kind.end_entropy = norms;
}

double smallest_gradient(const Json& record) {
  double least = Outcomes::kNone;
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
  return heads > 0 ? collapsed / heads : Outcomes::kNone;
}

}  // namespace

Signals read_signals(const fs::path& run) {
  Signals s;
  for_each_record(run / "metrics.jsonl", [&](Json&& record) {
    add_scalar(s.train_loss, record, "loss/train/ce");
    add_scalar(s.valid_loss, record, "loss/valid/ce");
    add_scalar(s.output_mean, record, "logits/out/mean");
    add_scalar(s.output_logz, record, "logits/out/logz");
  });
  std::vector<AttentionSignals> kinds;
  for (const char* kind : {"", "encoder", "decoder", "cross"}) kinds.push_back({.kind = kind});
  const auto use = [&](const Json& record) {
    add_scalar(s.edge_ratio, record, "curvature/all/edge_ratio");
    if (const double least = smallest_gradient(record); !std::isnan(least)) s.outcomes.grad_rms_low = least;
    if (!record.contains("step")) return;
    for (AttentionSignals& kind : kinds) add_heads(kind, record);
  };
  // Records of one step are one: a trainer elsewhere may have written its layers apart.
  Json step = Json::object();
  for_each_record(run / "heads.jsonl", [&](Json&& record) {
    if (record.contains("step") && step.contains("step") && step["step"] == record["step"]) {
      step.update(record);
      return;
    }
    use(step);
    step = std::move(record);
  });
  use(step);
  for (AttentionSignals& kind : kinds) {
    if (kind.logit_max.steps.empty() && kind.entropy_min.steps.empty()) continue;
    Outcomes& o = s.outcomes;
    for (const Series* series : {&kind.logit_max, &kind.entropy_min})
      if (!series->steps.empty()) o.heads_step = std::max(o.heads_step, series->steps.back());
    o.logit_peak = std::fmax(o.logit_peak, peak(kind.logit_max, true));
    o.entropy_low = std::fmin(o.entropy_low, peak(kind.entropy_min, false));
    s.attention.push_back(std::move(kind));
  }
  s.outcomes.collapsed_share = collapsed_share(s.attention);
  s.outcomes.edge_peak = peak(s.edge_ratio, true);
  if (!s.output_mean.values.empty()) s.outcomes.logit_mean_end = s.output_mean.values.back();
  if (!s.output_logz.values.empty()) s.outcomes.logz_end = s.output_logz.values.back();
  for_each_record(run / "events.jsonl", [&](Json&& event) {
    const std::string kind = event.value("kind", "");
    s.outcomes.spikes += kind == "spike";
    s.outcomes.collapses += kind == "collapse";
  });
  return s;
}

double peak(const Series& series, bool largest) {
  double best = Outcomes::kNone;
  for (const double v : series.values)
    if (std::isfinite(v)) best = largest ? std::fmax(best, v) : std::fmin(best, v);
  return best;
}

Series thin(const Series& series, std::size_t max_points) {
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
  Series out;
  out.recorded = std::max(series.recorded, n);
  for (const std::size_t i : keep) {
    out.steps.push_back(series.steps[i]);
    out.values.push_back(series.values[i]);
  }
  return out;
}

}  // namespace evenkeel::runs
