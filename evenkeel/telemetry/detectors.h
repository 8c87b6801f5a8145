// Tests that turn telemetry into events: loss spikes, entropy collapse, non-finite numbers. Each reads a
// stream of numbers, one step after the other, and its state goes into checkpoints so that a resumed run
// reports the same events.
//
// Spike: with x = ln(training loss), m = median and s = 1.4826 * MAD of the last 64 values of x, a step is a
// spike when x > m + 6 s, and recovered when x <= m + 1 s. While the window holds n < 64 values the rest
// counts as prior deviations of kPriorDeviation: s^2 = ((64 - n) prior^2 + n (1.4826 MAD)^2) / 64, so the
// test works from the second step. During a spike m and s stand still: a loss that stays high never
// "recovers" by dragging its own trend up.
//
// Collapse: mean over heads of H / ln n below 0.05 in every layer in 10 successive records (definitions:
// Attention); for a single head the same is information, not an alarm.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel::telemetry {

class SpikeDetector {
 public:
  static constexpr std::size_t kWindow = 64;
  static constexpr double kThreshold = 6, kRecovered = 1;
  static constexpr double kPriorDeviation = 0.1;       ///< of ln loss: 6 of them are a factor of 1.8
  static constexpr double kSmallestDeviation = 0.005;  ///< so that a flat loss does not make noise a spike

  /// Takes the training loss (nat) of `step`; returns the event spike {loss, trend, deviations} or
  /// spike_recovered {since}, if any. A non-finite loss is passed over (nonfinite_event reports it).
  std::optional<Json> update(std::int64_t step, double loss);

  Json state() const;
  /// Throws InputError when `state` is not one of state().
  static SpikeDetector from_state(const Json& state);

 private:
  std::pair<double, double> trend() const;

  std::deque<double> window_;          ///< ln loss, oldest first
  std::optional<std::int64_t> since_;  ///< step the current spike began
  double spike_trend_ = 0, spike_deviation_ = 0;
};

class CollapseDetector {
 public:
  static constexpr double kThreshold = 0.05;
  static constexpr int kRecords = 10;

  /// Takes mean H / ln n per layer and head; returns the events collapse {} and head_collapse {layer, head},
  /// each once until the entropy has risen again. Values that are not finite count as not collapsed.
  std::vector<Json> update(std::int64_t step, const std::vector<std::vector<double>>& entropy_norm);

  Json state() const;
  static CollapseDetector from_state(const Json& state);

 private:
  int all_ = 0;                          ///< successive records with every layer below
  std::vector<std::vector<int>> heads_;  ///< the same per layer and head
};

/// The event nonfinite {what: "loss" | "gradient"} when the loss or the gradient norm is not finite.
std::optional<Json> nonfinite_event(std::int64_t step, double loss, double grad_norm);

}  // namespace evenkeel::telemetry
