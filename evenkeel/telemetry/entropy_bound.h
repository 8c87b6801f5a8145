// What logits allow the entropy of attention to be, and how far Adam pushes a spectral norm: the two results
// of Zhai et al. 2023 (arXiv 2303.06296) that a run is held against.
//
//   Theorem 3.1: logits of 2-norm at most s over n keys have a softmax of entropy at least
//     ln(1 + (n-1) beta) + s sqrt(n (n-1)) beta / (1 + (n-1) beta),   beta = exp(-s sqrt(n / (n-1))) nats.
//     One logit up and n-1 equal ones down attain it. Softmax ignores shifts, so the norm of the centred
//     logits serves; that is the sharper bound.
//   Proposition 3.2: the ideal update Delta = mu / sqrt(mu^2 + noise^2) has sigma(Delta) >= |Delta|_F /
//     sqrt(min(m, n)), which for w x w and no noise is sqrt(w).
#pragma once

#include <cstdint>
#include <span>

namespace evenkeel::telemetry {

/// Least entropy in nats of a softmax over n >= 1 keys whose logits have a 2-norm of at most s >= 0. 0 for
/// n = 1 and for s = inf; NaN for NaN.
double entropy_bound(std::int64_t n, double s);

/// How far below the bound rounding may bring an entropy that was computed in fp32: 1e-5 (1 + ln n).
double entropy_bound_slack(std::int64_t n);

struct RowEntropy {
  double entropy = 0;       ///< of softmax(logits), nats
  double centred_norm = 0;  ///< |z - mean(z)|_2
};

/// Of one row of visible logits, at least one.
RowEntropy row_entropy(std::span<const double> logits);

/// Proposition 3.2 from the mean `mu` and the noise of every entry of a w x w gradient, row by row:
/// sqrt(w) sqrt(1 - sum noise^2 / (mu^2 + noise^2) / w^2). An entry without mean and noise counts as noise:
/// nothing moves it.
double inflation_bound(std::span<const double> mu, std::span<const double> noise);

/// The same from an update that was made: |Delta|_F / sqrt(min(m, n)).
double inflation_bound(double frobenius_norm, std::int64_t m, std::int64_t n);

}  // namespace evenkeel::telemetry
