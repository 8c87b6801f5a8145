#include "evenkeel/data/synthetic/language.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evenkeel/base/rng.h"

namespace evenkeel::data {
namespace {

std::vector<double> zipf_law(std::int64_t vocab, double exponent) {
  std::vector<double> p(static_cast<std::size_t>(vocab));
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = std::pow(static_cast<double>(i + 1), -exponent);
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

std::vector<double> running_sum(const std::vector<double>& p) {
  std::vector<double> c(p.size());
  std::partial_sum(p.begin(), p.end(), c.begin());
  return c;
}

std::int32_t draw(const std::vector<double>& cumulative, Rng& rng) {
  const auto it =
      std::upper_bound(cumulative.begin(), cumulative.end() - 1, rng.uniform() * cumulative.back());
  return static_cast<std::int32_t>(it - cumulative.begin());
}

}  // namespace

double expected_draws(const SyntheticSpec& spec) {
  const std::vector<double> p = zipf_law(spec.vocab, spec.zipf);
  const double wanted = static_cast<double>(std::min(spec.successors, spec.vocab)) - 0.5;
  // After t draws, token v has come with probability 1 - exp(-p_v t), nearly.
  double low = 0, high = 60;  // log2 t
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2, t = std::exp2(middle);
    const double seen = std::accumulate(p.begin(), p.end(), 0.0,
                                        [t](double sum, double x) { return sum - std::expm1(-x * t); });
    (seen < wanted ? low : high) = middle;
  }
  return std::exp2(low) * static_cast<double>(spec.vocab);
}

Language::Language(const SyntheticSpec& spec) : spec_(spec), end_(1 / spec.copy_length) {
  // Stationary share of copying c: c * end * (1 - s) = (1 - c) * s, as a stretch may start where another
  // ends.
  start_ = spec.copy * end_ / (1 - spec.copy + spec.copy * end_);
  const auto vocab = static_cast<std::size_t>(spec.vocab);
  const std::vector<double> common = zipf_law(spec.vocab, spec.zipf);
  Rng rng(static_cast<std::uint64_t>(spec.seed), "data/synthetic/tables");

  for (std::int64_t z = 0; z < spec.topics; ++z) {
    std::vector<std::size_t> rank(vocab);
    std::iota(rank.begin(), rank.end(), std::size_t{0});
    for (std::size_t i = vocab; i > 1; --i) std::swap(rank[i - 1], rank[rng.below(i)]);
    std::vector<double> u(vocab);
    for (std::size_t v = 0; v < vocab; ++v)
      u[v] = (1 - spec.topic) * common[v] + spec.topic * common[rank[v]];
    cumulative_.push_back(running_sum(u));
    unigram_.push_back(std::move(u));
  }

  const std::vector<double> common_cumulative = running_sum(common);
  const auto k = static_cast<std::size_t>(std::min(spec.successors, spec.vocab));
  std::vector<std::size_t> follows(vocab, vocab);  // the last token that this one is a successor of
  for (std::size_t a = 0; a < vocab; ++a) {
    while (successors_.size() < (a + 1) * k) {
      const std::int32_t next = draw(common_cumulative, rng);
      std::size_t& last = follows[static_cast<std::size_t>(next)];
      if (last == a) continue;
      last = a;
      successors_.push_back(next);
    }
  }
  for (std::size_t j = 0; j < k; ++j) successor_weight_.push_back(std::pow(0.5, static_cast<double>(j)));
  const double sum = std::accumulate(successor_weight_.begin(), successor_weight_.end(), 0.0);
  for (double& w : successor_weight_) w /= sum;
}

void Language::sample(std::uint64_t stream, std::span<std::int32_t> tokens) const {
  Rng rng(static_cast<std::uint64_t>(spec_.seed), stream);
  const std::vector<double>& cumulative = cumulative_[rng.below(cumulative_.size())];
  const std::vector<double> choice = running_sum(successor_weight_);
  std::int64_t lag = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const std::int64_t reach = std::min(spec_.lag_max, static_cast<std::int64_t>(t));
    if (lag > 0 && rng.uniform() < end_) lag = 0;
    if (lag == 0 && reach >= spec_.lag_min && rng.uniform() < start_) {
      lag = spec_.lag_min +
            static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(reach - spec_.lag_min + 1)));
    }
    if (lag > 0) {
      tokens[t] = tokens[t - static_cast<std::size_t>(lag)];
    } else if (t > 0 && rng.uniform() < spec_.bigram) {
      const auto row = static_cast<std::size_t>(tokens[t - 1]) * choice.size();
      tokens[t] = successors_[row + static_cast<std::size_t>(draw(choice, rng))];
    } else {
      tokens[t] = draw(cumulative, rng);
    }
  }
}

double Language::generate_probability(std::size_t topic, std::int32_t previous, std::int32_t next) const {
  const std::size_t k = successor_weight_.size();
  const auto row = successors_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(previous) * k);
  const auto found = std::find(row, row + static_cast<std::ptrdiff_t>(k), next);
  const double follow = found == row + static_cast<std::ptrdiff_t>(k)
                            ? 0
                            : successor_weight_[static_cast<std::size_t>(found - row)];
  return spec_.bigram * follow + (1 - spec_.bigram) * unigram_[topic][static_cast<std::size_t>(next)];
}

std::vector<double> Language::ideal_losses(std::span<const std::int32_t> tokens) const {
  const std::size_t topics = unigram_.size();
  const auto lags = static_cast<std::size_t>(std::max<std::int64_t>(0, spec_.lag_max - spec_.lag_min + 1));
  // belief[z][0]: generating; belief[z][j]: copying at lag lag_min + j - 1. P(state, topic | tokens so far).
  std::vector<std::vector<double>> belief(topics, std::vector<double>(lags + 1));
  const auto normalise = [&belief] {
    double sum = 0;
    for (const auto& row : belief) sum = std::accumulate(row.begin(), row.end(), sum);
    for (auto& row : belief)
      for (double& p : row) p /= sum;
    return sum;
  };
  for (std::size_t z = 0; z < topics; ++z) belief[z][0] = unigram_[z][static_cast<std::size_t>(tokens[0])];
  normalise();

  std::vector<double> losses;
  for (std::size_t t = 1; t < tokens.size(); ++t) {
    const std::int64_t reach = std::min(spec_.lag_max, static_cast<std::int64_t>(t));
    const auto open = static_cast<std::size_t>(std::max<std::int64_t>(0, reach - spec_.lag_min + 1));
    for (std::size_t z = 0; z < topics; ++z) {
      auto& row = belief[z];
      double idle = row[0];
      for (std::size_t j = 1; j <= lags; ++j) {
        idle += row[j] * end_;
        row[j] *= 1 - end_;
      }
      if (open > 0) {
        for (std::size_t j = 1; j <= open; ++j) row[j] += idle * start_ / static_cast<double>(open);
        idle *= 1 - start_;
      }
      row[0] = idle * generate_probability(z, tokens[t - 1], tokens[t]);
      for (std::size_t j = 1; j <= lags; ++j) {
        const std::size_t lag = static_cast<std::size_t>(spec_.lag_min) + j - 1;
        if (lag > t || tokens[t - lag] != tokens[t]) row[j] = 0;
      }
    }
    losses.push_back(-std::log(normalise()));
  }
  return losses;
}

}  // namespace evenkeel::data
