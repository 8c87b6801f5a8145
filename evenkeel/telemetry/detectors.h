// Tests that turn telemetry into events: loss spikes, relapses, entropy collapse, non-finite numbers. Each
// reads a stream of numbers, one step after the other, and its state goes into checkpoints so that a resumed
// run reports the same events.
//
// Spike: with x = ln(training loss), m = median and s = 1.4826 * MAD of the last 64 values of x, a step is a
// spike when x > m + 6 s, and recovered when x <= m + 1 s. While the window holds n < 64 values the rest
// counts as prior deviations of kPriorDeviation: s^2 = ((64 - n) prior^2 + n (1.4826 MAD)^2) / 64, so the
// test works from the second step. During a spike m and s stand still: a loss that stays high never
// "recovers" by dragging its own trend up.
//
// Relapse: a loss that had been lower rose again, for longer than a spike. Two series are watched, each
// against its own best so far b: the validation loss, and the trend of the training loss, exp of the median
// of the last 64 values of ln loss (from 64 values on). With l0 the validation loss at initialisation, the
// level v has relapsed while v > b + max(0.07 (l0 - b), 0.05) and b < l0 - 0.05: losses within 0.05 nat of
// each other count as equal, as in the label not_learned, or the first steps, where l0 - b is nothing, would
// relapse by noise. For a relapse to begin the trend must also be above its best by 6 standard errors of the
// difference of two medians; that of one is 1.2533 s / sqrt(64) in ln loss, with s as for spikes. A smaller
// rise cannot be told from the batches.
//
// A rise over a hundred steps is a relapse and no spike: where batches differ (sentences of any length), s is
// so wide that no single batch need stand out by 6 s, and the window's median rises along. A narrower test
// would call the batches themselves spikes. The median answers up to 32 steps late, and holds 1.2533 /
// sqrt(64), about 1/6, of the noise of single batches.
//
// Collapse: mean over heads of H / ln n below 0.05 in every layer in 10 successive records (definitions:
// Attention); for a single head the same is information, not an alarm.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
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
  std::deque<double> window_;          ///< ln loss, oldest first
  std::optional<std::int64_t> since_;  ///< step the current spike began
  double spike_trend_ = 0, spike_deviation_ = 0;
};

class RelapseDetector {
 public:
  static constexpr double kShare = 0.07;  ///< of l0 - best so far
  static constexpr double kEqual = 0.05;  ///< nat: losses this close are equal
  static constexpr double kErrors = 6;    ///< standard errors of a difference of trends
  static constexpr std::size_t kWindow = SpikeDetector::kWindow;

  /// l0: validation loss at initialisation, nat. While it is not finite nothing relapses.
  explicit RelapseDetector(double l0 = std::numeric_limits<double>::quiet_NaN()) : l0_(l0) {}

  /// Take the training loss (nat) of every step, and the validation loss after `step` where there is one.
  /// They return the event relapse {of: "trend" | "valid", best, best_step, level} or relapse_recovered
  /// {of, since}, if any. A loss that is not finite is passed over.
  std::optional<Json> train_loss(std::int64_t step, double loss);
  std::optional<Json> valid_loss(std::int64_t step, double loss);

  /// The first step of a relapse that still lasts, of either series; nullopt when there is none.
  std::optional<std::int64_t> since() const;

  Json state() const;
  /// Throws InputError when `state` is not one of state().
  static RelapseDetector from_state(const Json& state);

 private:
  struct Watched {
    double best = std::numeric_limits<double>::infinity();
    std::int64_t best_step = 0;
    double error = 0;  ///< standard error of ln best
    std::optional<std::int64_t> since{};
  };
  std::optional<Json> judge(Watched& watched, const char* of, std::int64_t step, double level,
                            double error) const;

  double l0_;
  std::deque<double> window_;  ///< ln training loss, oldest first
  Watched trend_, valid_;
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
