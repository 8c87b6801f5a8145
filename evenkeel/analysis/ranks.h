// Rank statistics: how well a score separates failing from stable runs (AUC), and how two quantities rank
// alike (Spearman), with intervals from a bootstrap over groups.
//
//   AUC = P(score of a failing run > score of a stable run) + 1/2 P(equal)
//       = (U statistic of Mann and Whitney 1947) / (failing * stable);  1/2 is chance, 1 is perfect
//
// Runs that share a group (one configuration, several seeds) are not independent: groups are drawn, never
// runs (Field and Welsh 2007, "Bootstrapping clustered data").
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// Fewer groups than this with failing, or with stable, runs: no interval.
inline constexpr int kMinGroups = 4;
inline constexpr int kMinPairs = 10;

struct Scored {
  double score = 0;  ///< the larger, the more danger it foretells; may be infinite, not NaN
  bool failed = false;
  int group = 0;    ///< drawn together; 0, 1, ...
  int stratum = 0;  ///< only runs of one stratum are compared with each other
};

/// AUC over the pairs of a failing and a stable run of the same stratum; n counts the pairs. Missing, with
/// the reason, below `min_pairs`; without interval below kMinGroups groups of either kind. Groups with a
/// failing run and those without are drawn apart, so that every resample holds both.
Estimate auc(std::vector<Scored> runs, double level, int min_pairs = 1);

/// AUC of `score` minus AUC of `reference`, of the same runs in the same order; n counts the pairs.
Estimate auc_difference(const std::vector<Scored>& score, const std::vector<Scored>& reference, double level);

/// Spearman's rank correlation, ties by average rank; NaN when either is constant or there are fewer than 2
/// pairs.
double spearman(const std::vector<double>& x, const std::vector<double>& y);

/// The same with its interval; n counts the pairs. Missing below kMinPairs pairs.
Estimate spearman_with_interval(const std::vector<double>& x, const std::vector<double>& y,
                                const std::vector<int>& groups, double level);

/// Percentile interval of statistic(times each group is drawn): groups are drawn with replacement within
/// their stratum, 2000 times from a fixed seed. Resamples whose statistic is NaN are left out; nullopt when
/// they are more than one in twenty.
std::optional<Interval> group_bootstrap(const std::vector<int>& stratum_of_group, double level,
                                        const std::function<double(const std::vector<int>&)>& statistic);

}  // namespace evenkeel::analysis
