#include "evenkeel/analysis/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>

namespace evenkeel::analysis {
namespace {

double t_quantile(double level, double df) {
  return boost::math::quantile(boost::math::students_t(df), 0.5 + level / 2);
}

/// How many independent trials the share is worth.
double trials(double share, const Jackknife& jackknife, int units, double level) {
  const double spread = share * (1 - share);
  double n = units;
  if (jackknife.variance > 0) n = std::min(n, spread / jackknife.variance);
  const double few = t_quantile(level, units - 1) / t_quantile(level, jackknife.df);
  return n * few * few;
}

Interval clopper_pearson(double share, double n, double level) {
  if (!(n > 1e-9)) return {0, 1};
  const double tail = 0.5 - level / 2, hits = share * n;
  const auto beta = [](double a, double b, double p) {
    return boost::math::quantile(boost::math::beta_distribution<double>(a, b), p);
  };
  return {hits > 0 ? beta(hits, n - hits + 1, tail) : 0, hits < n ? beta(hits + 1, n - hits, 1 - tail) : 1};
}

/// Sum and number of one group's flags.
struct Tally {
  double sum = 0, count = 0;
};

struct Share {
  double value = 0;
  int groups = 0;
  std::optional<Jackknife> jackknife;  ///< nullopt below kMinGroups

  Share(const std::vector<bool>& flags, const std::vector<int>& group_of_flag) {
    std::map<int, Tally> by_group;
    Tally all;
    for (std::size_t i = 0; i < flags.size(); ++i) {
      Tally& group = by_group[group_of_flag[i]];
      group.sum += flags[i];
      ++group.count;
      all.sum += flags[i];
      ++all.count;
    }
    value = all.sum / all.count;
    groups = static_cast<int>(by_group.size());
    if (groups < kMinGroups) return;
    std::vector<Tally> tallies;
    for (const auto& [group, tally] : by_group) tallies.push_back(tally);
    jackknife = delete_one_group(std::vector<int>(tallies.size(), 0), value, [&](int g) {
      const Tally& left_out = tallies[static_cast<std::size_t>(g)];
      return (all.sum - left_out.sum) / (all.count - left_out.count);
    });
  }
  std::string too_few() const { return fmt::format("{} groups; an interval needs {}", groups, kMinGroups); }
};

}  // namespace

std::optional<Jackknife> delete_one_group(const std::vector<int>& kind, double value,
                                          const std::function<double(int)>& without) {
  double variation[2] = {0, 0}, groups[2] = {0, 0};
  for (std::size_t g = 0; g < kind.size(); ++g) {
    const double change = without(static_cast<int>(g)) - value;
    if (std::isnan(change)) return std::nullopt;
    variation[kind[g]] += change * change;
    ++groups[kind[g]];
  }
  const double all = variation[0] + variation[1], count = groups[0] + groups[1];
  Jackknife result;
  result.variance = (count - 1) / count * all;
  if (groups[0] < 2 || groups[1] < 2) result.df = count - 1;
  else if (all == 0) result.df = std::min(groups[0], groups[1]) - 1;
  else
    result.df =
        all * all /
        (variation[0] * variation[0] / (groups[0] - 1) + variation[1] * variation[1] / (groups[1] - 1));
  return result;
}

Interval share_interval(double share, const Jackknife& jackknife, int units, double level) {
  return clopper_pearson(share, trials(share, jackknife, units, level), level);
}

std::optional<Interval> fisher_interval(double value, const Jackknife& jackknife, double level) {
  if (!(std::abs(value) < 1) || !(jackknife.variance > 0)) return std::nullopt;
  const double half = t_quantile(level, jackknife.df) * std::sqrt(jackknife.variance) / (1 - value * value);
  return Interval{std::tanh(std::atanh(value) - half), std::tanh(std::atanh(value) + half)};
}

Estimate share_over_groups(const std::vector<bool>& flags, const std::vector<int>& groups, double level) {
  const Share share(flags, groups);
  Estimate e{share.value, std::nullopt, "", static_cast<int>(flags.size())};
  if (share.jackknife) e.interval = share_interval(share.value, *share.jackknife, share.groups, level);
  else e.why = share.too_few();
  return e;
}

Estimate median_over_groups(const std::vector<double>& values, const std::vector<int>& groups, double level) {
  const double median = median_of_finite(values);
  Estimate e{median, std::nullopt, "", static_cast<int>(values.size())};
  std::vector<bool> below;
  for (const double v : values) below.push_back(v <= median);
  const Share share(below, groups);
  if (!share.jackknife) {
    e.why = share.too_few();
    return e;
  }
  // Ties may put more than half of the values at the median; its own rank is one half whatever they do.
  const double worth = trials(0.5, *share.jackknife, share.groups, level);
  // Smallest and largest of n values hold the median with probability 1 - 2^(1 - n).
  if (worth < std::log2(2 / (1 - level))) {
    e.why = fmt::format("{} groups are too few to bound a median", share.groups);
    return e;
  }
  const Interval ranks = clopper_pearson(0.5, worth, level);
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  const auto at = [&](double rank) { return sorted[static_cast<std::size_t>(std::clamp(rank, 0.0, n - 1))]; };
  e.interval = Interval{at(std::floor(ranks.low * n)), at(std::ceil(ranks.high * n) - 1)};
  return e;
}

}  // namespace evenkeel::analysis
