// Rank statistics: how well a score separates failing from stable runs (AUC), and how two quantities rank
// alike (Spearman), with intervals over groups (analysis/groups.h).
//
//   AUC = P(score of a failing run > score of a stable run) + 1/2 P(equal)
//       = (U statistic of Mann and Whitney 1947) / (failing * stable);  1/2 is chance, 1 is perfect
//
// An AUC is a share of pairs, so its interval is that of a share (share_interval). Its units are the groups
// with a failing and those with a stable run; a group with both counts twice.
#pragma once

#include <vector>

#include "evenkeel/analysis/groups.h"

namespace evenkeel::analysis {

inline constexpr int kMinPairs = 10;

struct Scored {
  double score = 0;  ///< the larger, the more danger it foretells; may be infinite, not NaN
  bool failed = false;
  int group = 0;    ///< its configuration; 0, 1, ...
  int stratum = 0;  ///< only runs of one stratum are compared with each other
};

/// AUC over the pairs of a failing and a stable run of the same stratum; n counts the pairs. Missing, with
/// the reason, below `min_pairs`; without interval below kMinGroups groups of either outcome.
Estimate auc(std::vector<Scored> runs, double level, int min_pairs = 1);

/// AUC of `score` minus AUC of `reference`, of the same runs in the same order and strata; n counts the
/// pairs. Interval on Fisher's z; none where leaving out a group never changes the difference.
Estimate auc_difference(const std::vector<Scored>& score, const std::vector<Scored>& reference, double level);

/// Spearman's rank correlation, ties by average rank; NaN when either is constant or there are fewer than 2
/// pairs.
double spearman(const std::vector<double>& x, const std::vector<double>& y);

/// The same with its interval on Fisher's z; n counts the pairs. Missing below kMinPairs pairs.
Estimate spearman_with_interval(const std::vector<double>& x, const std::vector<double>& y,
                                const std::vector<int>& groups, double level);

}  // namespace evenkeel::analysis
