// Which signal foretells failure? Over many ended runs: how well the telemetry of an early step separates the
// runs that will fail from those that will not (AUC), and how long before the failure an alarm on it would
// have rung (lead time).
//
// Failure is `unstable` of docs/guide/definitions.md: nonfinite, not_learned or degraded at an LR above the
// best of the arm and size. Each signal has its dangerous direction fixed beforehand; data never flips it, so
// an AUC below 1/2 says that the signal misleads. A value that is not finite is the most dangerous one.
//
// A signal is ranked within a size: only runs of one size are compared, because logits of models of different
// size are not comparable. That failure needs an LR above the best makes the AUC of the learning rate, and of
// whatever follows it, partly true by definition; `same_lr` is free of that.
//
// A run with a [change] in effect is forced: its signal was moved by hand. Forced and natural runs are judged
// apart, and the thresholds of alarms come from natural runs alone.
//
// Attention entropy as the signal of instability: Zhai et al. 2023, arXiv 2303.06296; attention logits,
// gradient norm and update size: Wortsman et al. 2023, arXiv 2309.14322.
//
// A group is one configuration without its seed; intervals are over groups (analysis/groups.h). A run that
// lacks a record a number needs blocks that number; nothing is imputed.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evenkeel/analysis/ranks.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::analysis {

struct Signal {
  const char* name;
  const char* unit;  ///< "" is a pure number
  bool low_is_danger;
  bool reference;  ///< the learning rate: known before the run, so no alarm
  const char* doc;
};

/// In the order of the tables.
std::span<const Signal> signals();

/// One labelled run.
struct Trajectory {
  std::string run;         ///< folder
  std::string group;       ///< its configuration without the seed
  std::string size;        ///< whose signals may be compared
  std::string siblings;    ///< the sweep or collection it was judged in, with its size and learning rate
  std::int64_t steps = 0;  ///< planned
  bool failed = false;
  bool forced = false;  ///< by a [change] in the middle of training
  std::optional<std::int64_t> nonfinite_step;
  std::optional<std::int64_t> onset;  ///< of the failure; see Onset
  std::string onset_why;              ///< why a failing run has no onset
  bool onset_blocked = false;         ///< because a record is missing
  std::vector<runs::Series> signals;  ///< as signals(); empty where it recorded none
  /// Over layers, heads and records: smallest slack of Theorem 3.1's bound, and median of entropy - bound,
  /// nat. NaN: not recorded.
  double entropy_slack = std::numeric_limits<double>::quiet_NaN();
  double above_bound = std::numeric_limits<double>::quiet_NaN();
};

/// When a failure began. Of a run that became non-finite: that step. Of one that ended degraded or
/// not_learned: the first step from which to its end
///
///   m(t) > m_best(t) + 0.07 (l0 - best),   m(t) = median of the last 10 records of loss/train/ce up to t
///
/// m_best is of the sibling at the best LR, of the same seed where that ended finite (it saw the same
/// batches), else the one with the smallest final loss. The margin is that of `degraded`. A run whose
/// training loss ends within the margin has none.
inline constexpr std::size_t kOnsetRecords = 10;
struct Onset {
  std::optional<std::int64_t> step;
  std::string why;
  bool blocked = false;  ///< a record of the sibling is missing
};
Onset degraded_onset(const runs::Series& loss, const runs::Series& best_sibling, double margin);

/// A point in training: a share of the planned steps, or a step. The value of a signal there is that of its
/// last record at or before it.
struct Horizon {
  double share = 0;  ///< 0: `step` counts
  std::int64_t step = 0;
  std::int64_t step_of(std::int64_t planned) const;  ///< at least 1
  std::string text() const;                          ///< "5 %", "step 100"
};
/// "5%" or "100". Throws InputError.
Horizon parse_horizon(const std::string& text);

struct PredictorOptions {
  std::vector<Horizon> at{{0.05, 0}, {0.10, 0}, {0.25, 0}, {0.50, 0}};
  bool forced = false;  ///< judge the forced runs instead of the natural ones
  double level = 0.95;
  double false_alarm_share = 0.05;  ///< of the other groups' stable runs, at most: sets the alarm's threshold
  int min_stable = 5;               ///< stable runs of its size and other groups that a threshold needs
};

/// AUCs of one signal at one horizon. n of each counts pairs of a failing and a stable run.
struct SignalAt {
  Estimate auc;  ///< pairs of one size; a run that has become non-finite by then counts with its last record
  Estimate minus_lr;  ///< less the AUC of the peak learning rate, which drives both signal and failure
  Estimate ahead;     ///< without the failing runs whose onset has come (or is unknown)
  Estimate same_lr;   ///< pairs of one sweep, size and learning rate only: between arms and seeds
  Estimate same_arm;  ///< pairs of one configuration only: between seeds
};

/// Alarm: the first record beyond a threshold. The threshold of a group's runs is set by the natural stable
/// runs of their size in all other groups: the smallest one that at most 5 % of them ever cross.
struct Lead {
  Estimate alarmed;       ///< share of the failing runs with an onset that had their alarm before it
  Estimate steps, share;  ///< median of onset - alarm over those, in steps and of the planned steps
  Estimate false_alarms;  ///< share of the stable runs with an alarm
  std::optional<Interval> threshold;  ///< smallest and largest over the groups, in the signal's own sign
  int late = 0;                       ///< failing runs with an onset whose alarm came at it or later
  int no_threshold = 0;  ///< runs left out: too few stable runs of their size in the other groups
};

struct SignalResult {
  const Signal* signal = nullptr;
  std::vector<SignalAt> at;  ///< as PredictorOptions::at
  Lead lead;
};

struct HorizonCounts {
  int nonfinite = 0;  ///< runs that have become non-finite by then
  int begun = 0;      ///< failing runs whose onset has come by then
};

/// How far measured entropy stays above the bound of Theorem 3.1 (Zhai et al. 2023), in nat.
struct EntropyBound {
  int runs = 0;  ///< that recorded it
  std::optional<double> min_slack, median_above;
  std::string why;
};

/// Sharpness of one run at one step, as `evenkeel probe sharpness` measures it. NaN: not given.
struct SharpnessPoint {
  std::string run;
  std::int64_t step = 0;
  double eigenvalue = std::numeric_limits<double>::quiet_NaN();
  double ratio = std::numeric_limits<double>::quiet_NaN();
};

/// Spearman's correlation of a signal with sharpness over (run, step). The sign is that of the signal itself:
/// entropy that falls as sharpness rises is below 0.
struct SharpnessResult {
  const Signal* signal = nullptr;
  Estimate eigenvalue, ratio;
};

struct Predictors {
  PredictorOptions options;
  int runs = 0, failed = 0, groups = 0;
  int not_judged = 0;                   ///< forced runs, or with PredictorOptions::forced the natural ones
  int onset_unknown = 0;                ///< failing runs without onset
  std::map<std::string, int> no_onset;  ///< why -> how many of them
  std::vector<HorizonCounts> at;
  std::vector<SignalResult> signals;  ///< as signals()
  EntropyBound bound;
  std::vector<SharpnessResult> sharpness;  ///< empty when no points were given
  int sharpness_points = 0, sharpness_unmatched = 0;
};

Predictors find_predictors(const std::vector<Trajectory>& runs, const PredictorOptions& options = {},
                           const std::vector<SharpnessPoint>& sharpness = {});

}  // namespace evenkeel::analysis
