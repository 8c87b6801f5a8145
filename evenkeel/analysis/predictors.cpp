#include "evenkeel/analysis/predictors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "evenkeel/base/error.h"

namespace evenkeel::analysis {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr std::array kSignals{
    Signal{"entropy_layer", "", true, false,
           "attn/*/entropy_norm, H / ln n: smallest over layers of the mean over heads"},
    Signal{"entropy_head", "", true, false, "attn/*/entropy_norm, H / ln n: smallest over layers and heads"},
    Signal{"logit_max", "", false, false, "attn/*/logit_max: largest over layers and heads"},
    Signal{"qk_sigma", "", false, false, "attn/*/qk_sigma: largest over layers and heads"},
    Signal{"grad_norm", "", false, false, "grad/all/norm: global gradient norm before clipping"},
    Signal{"update_ratio", "", false, false,
           "update_rms / param_rms: median over the tensors that are not all zero"},
    Signal{"spikes", "", false, false, "loss spikes so far"},
    Signal{"loss", "nat", false, false, "loss/train/ce of the record's batch"},
    Signal{"lr", "", false, true, "peak learning rate, known before the run"},
};

double danger(const Signal& signal, double value) {
  if (!std::isfinite(value)) return kInfinity;
  return signal.low_is_danger ? -value : value;
}

/// Index of the last record at or before `step`.
std::optional<std::size_t> last_at(const runs::Series& series, std::int64_t step) {
  const auto after = std::upper_bound(series.steps.begin(), series.steps.end(), step);
  if (after == series.steps.begin()) return std::nullopt;
  return static_cast<std::size_t>(after - series.steps.begin()) - 1;
}

bool begun_by(const Trajectory& run, std::int64_t step) {
  return run.failed && (!run.onset || *run.onset <= step);
}

using Runs = std::vector<const Trajectory*>;

std::vector<int> numbered(const Runs& runs, std::string Trajectory::*key) {
  std::map<std::string, int> known;
  for (const Trajectory* run : runs) known.emplace(run->*key, 0);
  int next = 0;
  for (auto& [name, number] : known) number = next++;
  std::vector<int> numbers;
  for (const Trajectory* run : runs) numbers.push_back(known.at(run->*key));
  return numbers;
}

Runs those(const std::vector<Trajectory>& all, const std::function<bool(const Trajectory&)>& wanted) {
  Runs runs;
  for (const Trajectory& run : all)
    if (wanted(run)) runs.push_back(&run);
  return runs;
}

/// The runs that are judged, and what does not depend on the signal.
struct Study {
  const PredictorOptions& options;
  Runs runs, natural_stable;
  std::vector<int> group, siblings, size;  ///< of `runs`

  Study(const std::vector<Trajectory>& all, const PredictorOptions& o)
      : options(o),
        runs(those(all, [&](const Trajectory& run) { return run.forced == o.forced; })),
        natural_stable(those(all, [](const Trajectory& run) { return !run.forced && !run.failed; })),
        group(numbered(runs, &Trajectory::group)),
        siblings(numbered(runs, &Trajectory::siblings)),
        size(numbered(runs, &Trajectory::size)) {}
};

/// Why the signal of every run cannot be given; "" when it can.
std::string unrecorded(const Runs& runs, std::size_t signal, const char* which = "") {
  const auto without = std::count_if(runs.begin(), runs.end(),
                                     [&](const auto* run) { return run->signals[signal].steps.empty(); });
  if (without == 0) return "";
  if (without == std::ssize(runs)) return fmt::format("no {}run recorded it", which);
  return fmt::format("{} of {} {}runs did not record it", without, runs.size(), which);
}

SignalAt all_missing(const std::string& why) {
  const Estimate none = Estimate::missing(why);
  return {none, none, none, none, none};
}

/// Score of every run at the horizon, or why there is none.
std::string scores_at(const Study& study, std::size_t signal, const Horizon& at, std::vector<Scored>& out) {
  if (std::string why = unrecorded(study.runs, signal); !why.empty()) return why;
  int missing = 0, shorter = 0;
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    const Trajectory& run = *study.runs[i];
    const std::int64_t step = at.step_of(run.steps);
    shorter += step > run.steps;
    const auto record = last_at(run.signals[signal], step);
    if (!record) {
      ++missing;
      continue;
    }
    out.push_back({danger(kSignals[signal], run.signals[signal].values[*record]), run.failed, study.group[i],
                   study.size[i]});
  }
  if (shorter > 0) return fmt::format("{} of {} runs are shorter", shorter, study.runs.size());
  if (missing > 0) return fmt::format("{} of {} runs have no record by then", missing, study.runs.size());
  return "";
}

SignalAt signal_at(const Study& study, std::size_t signal, const Horizon& at, const std::vector<Scored>& lr) {
  std::vector<Scored> scored;
  if (const std::string why = scores_at(study, signal, at, scored); !why.empty()) return all_missing(why);
  const double level = study.options.level;
  SignalAt result;
  result.auc = auc(scored, level);
  result.minus_lr = kSignals[signal].reference ? Estimate::missing("it is the reference")
                                               : auc_difference(scored, lr, level);
  std::vector<Scored> ahead, same_lr = scored, same_arm = scored;
  for (std::size_t i = 0; i < scored.size(); ++i) {
    if (!begun_by(*study.runs[i], at.step_of(study.runs[i]->steps))) ahead.push_back(scored[i]);
    same_lr[i].stratum = study.siblings[i];
    same_arm[i].stratum = study.group[i];
  }
  result.ahead = auc(ahead, level);
  if (kSignals[signal].reference) {
    result.same_lr = result.same_arm = Estimate::missing("it is the same in all of them");
  } else {
    result.same_lr = auc(same_lr, level, kMinPairs);
    result.same_arm = auc(same_arm, level, kMinPairs);
  }
  return result;
}

/// Threshold of one group from the extremes of the other groups' stable runs, largest first.
double threshold_of(const std::vector<double>& others, double share) {
  return others[static_cast<std::size_t>(std::floor(share * static_cast<double>(others.size())))];
}

Lead no_lead(const std::string& why) {
  const Estimate none = Estimate::missing(why);
  return {none, none, none, none, std::nullopt, 0, 0};
}

/// The most dangerous value of a run.
double extreme_of(const Trajectory& run, std::size_t signal) {
  double extreme = -kInfinity;
  for (const double value : run.signals[signal].values)
    extreme = std::max(extreme, danger(kSignals[signal], value));
  return extreme;
}

/// First record beyond the threshold.
std::optional<std::int64_t> alarm_of(const Trajectory& run, std::size_t signal, double threshold) {
  const runs::Series& series = run.signals[signal];
  for (std::size_t r = 0; r < series.steps.size(); ++r)
    if (danger(kSignals[signal], series.values[r]) > threshold) return series.steps[r];
  return std::nullopt;
}

/// The threshold of every group, by number, where enough other runs set it.
std::map<int, double> thresholds_of(const Study& study, std::size_t signal) {
  std::vector<double> extremes;
  for (const Trajectory* run : study.natural_stable) extremes.push_back(extreme_of(*run, signal));
  std::map<int, double> thresholds;
  std::set<int> seen;
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    const Trajectory& judged = *study.runs[i];
    if (!seen.insert(study.group[i]).second) continue;
    std::vector<double> others;
    for (std::size_t j = 0; j < extremes.size(); ++j) {
      const Trajectory& other = *study.natural_stable[j];
      if (other.size == judged.size && other.group != judged.group) others.push_back(extremes[j]);
    }
    if (std::ssize(others) < study.options.min_stable) continue;
    std::sort(others.rbegin(), others.rend());
    thresholds[study.group[i]] = threshold_of(others, study.options.false_alarm_share);
  }
  return thresholds;
}

Lead lead_of(const Study& study, std::size_t signal) {
  if (kSignals[signal].reference) return no_lead("it is known before the run");
  if (const std::string why = unrecorded(study.runs, signal); !why.empty()) return no_lead(why);
  if (const std::string why = unrecorded(study.natural_stable, signal, "natural stable "); !why.empty())
    return no_lead(why);
  const auto blocked = std::count_if(study.runs.begin(), study.runs.end(),
                                     [](const auto* run) { return run->failed && run->onset_blocked; });
  if (blocked > 0) return no_lead(fmt::format("{} failing runs lack the records their onset needs", blocked));
  const std::map<int, double> thresholds = thresholds_of(study, signal);
  if (thresholds.empty())
    return no_lead(fmt::format("a threshold needs {} natural stable runs of one size in the other groups",
                               study.options.min_stable));

  std::vector<bool> alarmed, false_alarms;
  std::vector<double> lead_steps, lead_share;
  std::vector<int> with_onset, stable, in_time;  // groups of the runs
  Lead lead;
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    const Trajectory& run = *study.runs[i];
    const int group = study.group[i];
    const auto threshold = thresholds.find(group);
    if (threshold == thresholds.end()) {
      ++lead.no_threshold;
      continue;
    }
    const auto alarm = alarm_of(run, signal, threshold->second);
    if (!run.failed) {
      false_alarms.push_back(alarm.has_value());
      stable.push_back(group);
      continue;
    }
    if (!run.onset) continue;
    const bool before = alarm && *alarm < *run.onset;
    alarmed.push_back(before);
    with_onset.push_back(group);
    lead.late += alarm && !before;
    if (!before) continue;
    const auto steps = static_cast<double>(*run.onset - *alarm);
    lead_steps.push_back(steps);
    lead_share.push_back(steps / static_cast<double>(run.steps));
    in_time.push_back(group);
  }
  const double level = study.options.level;
  const auto share = [&](const std::vector<bool>& flags, const std::vector<int>& groups, const char* none) {
    return flags.empty() ? Estimate::missing(none) : share_over_groups(flags, groups, level);
  };
  const auto median = [&](const std::vector<double>& values) {
    return values.empty() ? Estimate::missing("no failing run had its alarm before the onset")
                          : median_over_groups(values, in_time, level);
  };
  lead.alarmed = share(alarmed, with_onset, "no failing run has an onset");
  lead.steps = median(lead_steps);
  lead.share = median(lead_share);
  lead.false_alarms = share(false_alarms, stable, "no stable run");
  Interval range{kInfinity, -kInfinity};
  for (const auto& [group, threshold] : thresholds) {
    const double own = kSignals[signal].low_is_danger ? -threshold : threshold;
    range = {std::min(range.low, own), std::max(range.high, own)};
  }
  lead.threshold = range;
  return lead;
}

EntropyBound entropy_bound(const Runs& runs) {
  EntropyBound bound;
  std::vector<double> above;
  for (const Trajectory* run : runs) {
    if (std::isnan(run->entropy_slack) && std::isnan(run->above_bound)) continue;
    ++bound.runs;
    if (!std::isnan(run->entropy_slack))
      bound.min_slack = std::min(bound.min_slack.value_or(kInfinity), run->entropy_slack);
    if (!std::isnan(run->above_bound)) above.push_back(run->above_bound);
  }
  if (!above.empty()) bound.median_above = median_of_finite(above);
  if (!bound.min_slack) bound.why = "no run recorded attn/*/entropy_slack";
  if (!bound.median_above)
    bound.why += std::string(bound.why.empty() ? "" : "; ") + "no run recorded attn/*/entropy_bound";
  return bound;
}

void correlate(const Study& study, const std::vector<SharpnessPoint>& points, Predictors& result) {
  struct Matched {
    const SharpnessPoint* point;
    std::size_t run;
  };
  std::map<std::string, std::size_t> by_folder;
  for (std::size_t i = 0; i < study.runs.size(); ++i) by_folder[study.runs[i]->run] = i;
  std::vector<Matched> matched;
  for (const SharpnessPoint& point : points) {
    const auto run = by_folder.find(point.run);
    if (run == by_folder.end()) ++result.sharpness_unmatched;
    else matched.push_back({&point, run->second});
  }
  result.sharpness_points = static_cast<int>(matched.size());
  for (std::size_t s = 0; s < kSignals.size(); ++s) {
    std::vector<double> signal;
    std::vector<int> groups;
    for (const Matched& m : matched) {
      const runs::Series& series = study.runs[m.run]->signals[s];
      const auto record = last_at(series, m.point->step);
      if (!record) break;
      signal.push_back(series.values[*record]);
      groups.push_back(study.group[m.run]);
    }
    const auto against = [&](double SharpnessPoint::*value) {
      if (signal.size() < matched.size())
        return Estimate::missing("a run has no record of the signal by then");
      std::vector<double> y;
      for (const Matched& m : matched) y.push_back(m.point->*value);
      const auto unknown = [](double v) { return std::isnan(v); };
      if (std::any_of(y.begin(), y.end(), unknown) || std::any_of(signal.begin(), signal.end(), unknown))
        return Estimate::missing("a value is not a number");
      return spearman_with_interval(signal, y, groups, study.options.level);
    };
    result.sharpness.push_back(
        {&kSignals[s], against(&SharpnessPoint::eigenvalue), against(&SharpnessPoint::ratio)});
  }
}

/// Median of the last kOnsetRecords values, from the first whole window on.
std::map<std::int64_t, double> trend(const runs::Series& series) {
  std::map<std::int64_t, double> medians;
  for (std::size_t i = kOnsetRecords; i <= series.values.size(); ++i)
    medians[series.steps[i - 1]] =
        median_of_finite({series.values.begin() + static_cast<std::ptrdiff_t>(i - kOnsetRecords),
                          series.values.begin() + static_cast<std::ptrdiff_t>(i)});
  return medians;
}

}  // namespace

std::span<const Signal> signals() {
  return kSignals;
}

std::int64_t Horizon::step_of(std::int64_t planned) const {
  if (share == 0) return step;
  // A share such as 0.1 is a little off in binary: 0.1 of 30 steps is 3.
  return std::max<std::int64_t>(1, std::llround(std::floor(share * static_cast<double>(planned) + 1e-6)));
}

std::string Horizon::text() const {
  return share > 0 ? fmt::format("{:g} %", 100 * share) : fmt::format("step {}", step);
}

Horizon parse_horizon(const std::string& text) {
  const bool percent = text.ends_with('%');
  const char* end = text.data() + text.size() - (percent ? 1 : 0);
  double value = 0;
  const auto [at, error] = std::from_chars(text.data(), end, value);
  const bool whole = value == std::floor(value);
  if (error != std::errc() || at != end || !(value > 0) || (percent ? value > 100 : !whole || value > 1e15))
    throw InputError(
        fmt::format("--at must list steps such as 100 or shares of training such as 10%, got \"{}\"", text));
  return percent ? Horizon{value / 100, 0} : Horizon{0, static_cast<std::int64_t>(value)};
}

Onset degraded_onset(const runs::Series& loss, const runs::Series& best_sibling, double margin) {
  const auto own = trend(loss), best = trend(best_sibling);
  if (own.empty()) return {std::nullopt, "it recorded fewer than 10 training losses", true};
  Onset onset;
  for (auto it = own.rbegin(); it != own.rend(); ++it) {
    const auto sibling = best.find(it->first);
    if (sibling == best.end())
      return {std::nullopt, fmt::format("the best sibling has no training loss at step {}", it->first), true};
    if (!(it->second > sibling->second + margin)) break;
    onset.step = it->first;
  }
  if (!onset.step) onset.why = "its training loss ends within the margin of the best sibling's";
  return onset;
}

Predictors find_predictors(const std::vector<Trajectory>& runs, const PredictorOptions& options,
                           const std::vector<SharpnessPoint>& sharpness) {
  const Study study(runs, options);
  Predictors result;
  result.options = options;
  result.runs = static_cast<int>(study.runs.size());
  result.not_judged = static_cast<int>(runs.size()) - result.runs;
  result.groups = static_cast<int>(std::set<int>(study.group.begin(), study.group.end()).size());
  for (const Trajectory* run : study.runs) {
    result.failed += run->failed;
    if (!run->failed || run->onset) continue;
    ++result.onset_unknown;
    ++result.no_onset[run->onset_why];
  }
  for (std::size_t s = 0; s < kSignals.size(); ++s)
    result.signals.push_back({&kSignals[s], {}, lead_of(study, s)});
  for (const Horizon& at : options.at) {
    HorizonCounts counts;
    for (const Trajectory* run : study.runs) {
      const std::int64_t step = at.step_of(run->steps);
      counts.nonfinite += run->nonfinite_step && *run->nonfinite_step <= step;
      counts.begun += run->onset && *run->onset <= step;
    }
    result.at.push_back(counts);
    std::vector<Scored> lr;
    scores_at(study, kSignals.size() - 1, at, lr);
    for (std::size_t s = 0; s < kSignals.size(); ++s)
      result.signals[s].at.push_back(signal_at(study, s, at, lr));
  }
  result.bound = entropy_bound(study.runs);
  if (!sharpness.empty()) correlate(study, sharpness, result);
  return result;
}

}  // namespace evenkeel::analysis
