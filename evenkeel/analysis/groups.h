// Intervals of statistics over runs that come in groups (one configuration, several seeds). Seeds of one
// configuration are alike, so the group is what counts, and groups are few: intervals are Student's t over
// groups on a scale that keeps them inside the range of what they estimate. docs/design/statistics.md has the
// coverage.
//
// With theta(-g) the statistic without group g, of G groups (Tukey's jackknife):
//
//   variance = (G - 1) / G  sum_g (theta(-g) - theta)^2
//   df       = (sum_k v_k)^2 / sum_k v_k^2 / (G_k - 1),   v_k = the same sum over the G_k groups of kind k
//
// (Satterthwaite 1946): where four groups of one kind carry the variance, forty of the other do not help.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// Fewer groups than this (of either outcome, where there are two): no interval.
inline constexpr int kMinGroups = 3;

struct Jackknife {
  double variance = 0, df = 1;
};

/// Leaves out one group after the other: `without(g)` is the statistic without group g. `kind` gives the kind
/// of each group, 0 or 1; a kind of a single group is joined to the other. Needs 2 groups; nullopt when a
/// statistic is NaN.
std::optional<Jackknife> delete_one_group(const std::vector<int>& kind, double value,
                                          const std::function<double(int)>& without);

/// Interval of a share in [0, 1]: Clopper and Pearson's for as many trials as have the jackknife's variance,
/// n = share (1 - share) / variance, but never more than `units`, times (t(units - 1) / t(df))^2 (Korn and
/// Graubard 1998). The bound makes it hold at and near 0 and 1, where the variance says nothing.
Interval share_interval(double share, const Jackknife& jackknife, int units, double level);

/// Interval of a number in [-1, 1]: t on Fisher's z = atanh. nullopt when the value is -1 or 1, or nothing
/// varies.
std::optional<Interval> fisher_interval(double value, const Jackknife& jackknife, double level);

/// Share of the true ones, and its interval over `groups` (0, 1, ...; one per flag). n counts the flags.
Estimate share_over_groups(const std::vector<bool>& flags, const std::vector<int>& groups, double level);

/// Median, and its interval over groups: the quantiles at both ends of the interval of the share of values
/// that lie at or below it (Woodruff 1952). Missing its interval where so few groups cannot bound a median.
Estimate median_over_groups(const std::vector<double>& values, const std::vector<int>& groups, double level);

}  // namespace evenkeel::analysis
