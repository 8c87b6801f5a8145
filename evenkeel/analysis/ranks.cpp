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

constexpr int kNobody = -1;

/// Of `runs`, sorted, without those of group `left_out`.
Concordance concordance(const std::vector<Scored>& runs, int left_out) {
  Concordance total;
  double stable_below = 0, failed = 0, stable = 0;
  for (std::size_t i = 0; i < runs.size();) {
    double tied_failed = 0, tied_stable = 0;
    const std::size_t begin = i;
    for (; i < runs.size() && runs[i].stratum == runs[begin].stratum && runs[i].score == runs[begin].score;
         ++i)
      if (runs[i].group != left_out) ++(runs[i].failed ? tied_failed : tied_stable);
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
  std::set<int> with_failed, with_stable, all;

  explicit Groups(const std::vector<Scored>& runs) {
    for (const Scored& run : runs) {
      (run.failed ? with_failed : with_stable).insert(run.group);
      all.insert(run.group);
    }
  }
  int units() const { return static_cast<int>(with_failed.size() + with_stable.size()); }
  int fewest() const { return static_cast<int>(std::min(with_failed.size(), with_stable.size())); }
  std::string too_few() const {
    if (fewest() >= kMinGroups) return "";
    return fmt::format("{} groups with failing and {} with stable runs; an interval needs {} of each",
                       with_failed.size(), with_stable.size(), kMinGroups);
  }
  /// Those with a failing run are one kind, the others the other.
  std::optional<Jackknife> jackknife(double value, const std::function<double(int)>& without) const {
    const std::vector<int> names(all.begin(), all.end());
    std::vector<int> kind;
    for (const int group : names) kind.push_back(with_failed.contains(group) ? 1 : 0);
    return delete_one_group(kind, value, [&](int g) { return without(names[static_cast<std::size_t>(g)]); });
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

Estimate auc(std::vector<Scored> runs, double level, int min_pairs) {
  runs = comparable(runs);
  sort_by_score(runs);
  const Groups groups(runs);
  const Concordance c = concordance(runs, kNobody);
  const int pairs = static_cast<int>(c.pairs);
  if (pairs == 0) return Estimate::missing("no failing run that a stable one can be compared with");
  if (pairs < min_pairs)
    return Estimate::missing(
        fmt::format("{} pairs of a failing and a stable run; at least {} are needed", pairs, min_pairs));
  Estimate e{c.auc(), std::nullopt, groups.too_few(), pairs};
  if (!e.why.empty()) return e;
  const auto jackknife = groups.jackknife(c.auc(), [&](int g) { return concordance(runs, g).auc(); });
  if (jackknife) e.interval = share_interval(c.auc(), *jackknife, groups.units(), level);
  else e.why = "every pair hangs on one group";
  return e;
}

Estimate auc_difference(const std::vector<Scored>& score, const std::vector<Scored>& reference,
                        double level) {
  std::vector<Scored> a = comparable(score), b = comparable(reference);
  sort_by_score(a);
  sort_by_score(b);
  const Groups groups(a);
  const auto without = [&](int g) { return concordance(a, g).auc() - concordance(b, g).auc(); };
  const int pairs = static_cast<int>(concordance(a, kNobody).pairs);
  if (pairs == 0) return Estimate::missing("no failing run that a stable one can be compared with");
  Estimate e{without(kNobody), std::nullopt, groups.too_few(), pairs};
  if (!e.why.empty()) return e;
  if (auto jackknife = groups.jackknife(*e.value, without)) {
    jackknife->df = groups.fewest() - 1;
    e.interval = fisher_interval(*e.value, *jackknife, level);
  }
  if (!e.interval) e.why = "the difference does not vary over groups";
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
  const std::vector<int> names(known.begin(), known.end());
  const auto jackknife = delete_one_group(std::vector<int>(names.size(), 0), value, [&](int left_out) {
    std::vector<double> u, v;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (groups[i] == names[static_cast<std::size_t>(left_out)]) continue;
      u.push_back(x[i]);
      v.push_back(y[i]);
    }
    return spearman(u, v);
  });
  if (jackknife) e.interval = fisher_interval(value, *jackknife, level);
  if (!e.interval) e.why = "the correlation does not vary over groups";
  return e;
}

}  // namespace evenkeel::analysis
