#include "evenkeel/analysis/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/statistics/bivariate_statistics.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "evenkeel/base/rng.h"

namespace evenkeel::analysis {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Concordance {
  double won = 0, pairs = 0;  ///< pairs whose failing run has the larger score, ties half; of how many
  double auc() const { return pairs > 0 ? won / pairs : kNan; }
};

void sort_by_score(std::vector<Scored>& runs) {
  std::sort(runs.begin(), runs.end(), [](const Scored& a, const Scored& b) {
    return std::tie(a.stratum, a.score) < std::tie(b.stratum, b.score);
  });
}

/// `runs` sorted; each counts as often as its group was drawn.
Concordance concordance(const std::vector<Scored>& runs, const std::vector<int>& drawn) {
  Concordance total;
  double stable_below = 0, failed = 0, stable = 0;
  for (std::size_t i = 0; i < runs.size();) {
    double tied_failed = 0, tied_stable = 0;
    const std::size_t begin = i;
    for (; i < runs.size() && runs[i].stratum == runs[begin].stratum && runs[i].score == runs[begin].score;
         ++i)
      (runs[i].failed ? tied_failed : tied_stable) += drawn[static_cast<std::size_t>(runs[i].group)];
    total.won += tied_failed * (stable_below + 0.5 * tied_stable);
    stable_below += tied_stable;
    failed += tied_failed;
    stable += tied_stable;
    if (i == runs.size() || runs[i].stratum != runs[begin].stratum) {
      total.pairs += failed * stable;
      stable_below = failed = stable = 0;
    }
  }
  return total;
}

struct Groups {
  std::vector<int> once, stratum;  ///< of each group
  std::set<int> with_failed, with_stable;

  explicit Groups(const std::vector<Scored>& runs) {
    int count = 0;
    for (const Scored& run : runs) {
      count = std::max(count, run.group + 1);
      (run.failed ? with_failed : with_stable).insert(run.group);
    }
    once.assign(static_cast<std::size_t>(count), 1);
    for (int g = 0; g < count; ++g)
      stratum.push_back(with_failed.contains(g) ? 1 : with_stable.contains(g) ? 0 : -1);
  }
  std::string too_few() const {
    const auto few = [](const std::set<int>& groups) { return static_cast<int>(groups.size()) < kMinGroups; };
    if (!few(with_failed) && !few(with_stable)) return "";
    return fmt::format("{} groups with failing and {} with stable runs; an interval needs {} of each",
                       with_failed.size(), with_stable.size(), kMinGroups);
  }
};

/// Runs of strata that hold both outcomes.
std::vector<Scored> comparable(const std::vector<Scored>& runs) {
  std::map<int, int> outcomes;
  for (const Scored& run : runs) outcomes[run.stratum] |= run.failed ? 1 : 2;
  std::vector<Scored> kept;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(kept),
               [&](const Scored& run) { return outcomes[run.stratum] == 3; });
  return kept;
}

std::vector<double> average_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + end - 1);
    for (; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

bool constant(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == values.front(); });
}

}  // namespace

std::optional<Interval> group_bootstrap(const std::vector<int>& stratum_of_group, double level,
                                        const std::function<double(const std::vector<int>&)>& statistic) {
  constexpr int kResamples = 2000;
  std::map<int, std::vector<std::size_t>> strata;
  for (std::size_t g = 0; g < stratum_of_group.size(); ++g) strata[stratum_of_group[g]].push_back(g);
  Rng rng(0, "analysis/group_bootstrap");
  std::vector<double> draws;
  std::vector<int> drawn(stratum_of_group.size());
  for (int r = 0; r < kResamples; ++r) {
    std::fill(drawn.begin(), drawn.end(), 0);
    for (const auto& [stratum, groups] : strata)
      for (std::size_t i = 0; i < groups.size(); ++i) ++drawn[groups[rng.below(groups.size())]];
    const double value = statistic(drawn);
    if (!std::isnan(value)) draws.push_back(value);
  }
  if (20 * draws.size() < 19 * std::size_t{kResamples}) return std::nullopt;
  std::sort(draws.begin(), draws.end());
  const auto at = [&](double p) {
    return draws[static_cast<std::size_t>(std::lround(p * static_cast<double>(draws.size() - 1)))];
  };
  return Interval{at(0.5 - level / 2), at(0.5 + level / 2)};
}

Estimate auc(std::vector<Scored> runs, double level, int min_pairs) {
  runs = comparable(runs);
  sort_by_score(runs);
  const Groups groups(runs);
  const Concordance c = concordance(runs, groups.once);
  const int pairs = static_cast<int>(c.pairs);
  if (pairs == 0) return Estimate::missing("no failing run that a stable one can be compared with");
  if (pairs < min_pairs)
    return Estimate::missing(
        fmt::format("{} pairs of a failing and a stable run; at least {} are needed", pairs, min_pairs));
  Estimate e{c.auc(), std::nullopt, groups.too_few(), pairs};
  if (e.why.empty() && (c.won == 0 || c.won == c.pairs))
    e.why = "the two kinds of run do not overlap, so resamples have no spread";
  if (!e.why.empty()) return e;
  e.interval = group_bootstrap(groups.stratum, level,
                               [&](const auto& drawn) { return concordance(runs, drawn).auc(); });
  if (!e.interval) e.why = "too many resamples of groups hold no pair";
  return e;
}

Estimate auc_difference(const std::vector<Scored>& score, const std::vector<Scored>& reference,
                        double level) {
  std::vector<Scored> a = score, b = reference;
  sort_by_score(a);
  sort_by_score(b);
  const Groups groups(a);
  const auto difference = [&](const std::vector<int>& drawn) {
    return concordance(a, drawn).auc() - concordance(b, drawn).auc();
  };
  const int pairs = static_cast<int>(concordance(a, groups.once).pairs);
  if (pairs == 0) return Estimate::missing("no failing run that a stable one can be compared with");
  Estimate e{difference(groups.once), std::nullopt, groups.too_few(), pairs};
  if (e.why.empty()) e.interval = group_bootstrap(groups.stratum, level, difference);
  return e;
}

double spearman(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() < 2 || constant(x) || constant(y)) return kNan;
  return boost::math::statistics::correlation_coefficient(average_ranks(x), average_ranks(y));
}

Estimate spearman_with_interval(const std::vector<double>& x, const std::vector<double>& y,
                                const std::vector<int>& groups, double level) {
  const int n = static_cast<int>(x.size());
  if (n < kMinPairs) return Estimate::missing(fmt::format("{} pairs; at least {} are needed", n, kMinPairs));
  const double value = spearman(x, y);
  if (std::isnan(value)) return Estimate::missing("one of the two does not vary");
  Estimate e{value, std::nullopt, "", n};
  const std::set<int> known(groups.begin(), groups.end());
  if (static_cast<int>(known.size()) < kMinGroups) {
    e.why = fmt::format("{} groups; an interval needs {}", known.size(), kMinGroups);
    return e;
  }
  std::vector<int> strata(static_cast<std::size_t>(*known.rbegin()) + 1, 1);
  for (const int g : known) strata[static_cast<std::size_t>(g)] = 0;
  e.interval = group_bootstrap(strata, level, [&](const std::vector<int>& drawn) {
    std::vector<double> u, v;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto times = static_cast<std::size_t>(drawn[static_cast<std::size_t>(groups[i])]);
      u.insert(u.end(), times, x[i]);
      v.insert(v.end(), times, y[i]);
    }
    return spearman(u, v);
  });
  if (!e.interval) e.why = "too many resamples of groups do not vary";
  return e;
}

}  // namespace evenkeel::analysis
