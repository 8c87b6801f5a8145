// The built-in language: Zipf unigrams, a bigram backbone, topics and copied stretches, with an ideal
// predictor that gives its floor (docs/design/synthetic_language.md).
//
// A sequence has one topic z, uniform over Z. At each position t a hidden copy state d_t (0: generate) moves
// first:
//   a running stretch ends with probability 1/copy_length; without one, a stretch starts with probability s
//   and draws its lag uniformly from [lag_min, min(lag_max, t)].
// Then the token: x_t = x_{t-d} while copying; else, with probability b, a successor of x_{t-1} from the
// bigram table, and otherwise a draw from u_z = (1 - m) Zipf + m Zipf with ranks permuted by topic z. s is
// chosen so that the long-run share of copied tokens is `copy`.
//
// Sampling costs O(log V) per token; the ideal predictor O(Z (lag_max - lag_min + 2)) per token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evenkeel/spec/data.h"

namespace evenkeel::data {

/// How many tokens the law is asked for, about, until each token of a language has its successors, which are
/// drawn until enough of them differ.
double expected_draws(const SyntheticSpec& spec);

class Language {
 public:
  explicit Language(const SyntheticSpec& spec);

  /// Fills `tokens` with sequence `stream`; equal (spec, stream) give equal tokens.
  void sample(std::uint64_t stream, std::span<std::int32_t> tokens) const;

  /// Loss in nats of the ideal predictor, -ln P(x_t | x_0 ... x_{t-1}), at t = 1, ..., tokens.size() - 1:
  /// exact Bayesian filtering over (topic, copy state). No predictor has a smaller expected loss.
  std::vector<double> ideal_losses(std::span<const std::int32_t> tokens) const;

 private:
  double generate_probability(std::size_t topic, std::int32_t previous, std::int32_t next) const;

  SyntheticSpec spec_;
  double start_ = 0, end_ = 1;
  std::vector<std::vector<double>> unigram_, cumulative_;  ///< [Z][V]: u_z and its running sum
  std::vector<std::int32_t> successors_;                   ///< [V][k]
  std::vector<double> successor_weight_;                   ///< [k], sums to 1
};

}  // namespace evenkeel::data
