#include "evenkeel/telemetry/entropy_bound.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::telemetry {

double entropy_bound(std::int64_t n, double s) {
  if (n <= 1) return 0;
  const double keys = static_cast<double>(n), others = keys - 1;
  const double beta = std::exp(-s * std::sqrt(keys / others));
  if (beta == 0) return 0;  // s may be infinite
  return std::log1p(others * beta) + s * std::sqrt(keys * others) * beta / (1 + others * beta);
}

double entropy_bound_slack(std::int64_t n) {
  return 1e-5 * (1 + std::log(static_cast<double>(n)));
}

RowEntropy row_entropy(std::span<const double> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0, weighted = 0, below_top = 0, squares = 0;
  for (const double z : logits) {
    const double gap = z - top, e = std::exp(gap);
    sum += e;
    weighted += e * gap;
    below_top += gap;
  }
  const double mean = below_top / static_cast<double>(logits.size());
  for (const double z : logits) squares += (z - top - mean) * (z - top - mean);
  return {std::log(sum) - weighted / sum, std::sqrt(squares)};
}

double inflation_bound(std::span<const double> mu, std::span<const double> noise) {
  double share = 0;
  for (std::size_t i = 0; i < mu.size(); ++i) {
    const double squares = mu[i] * mu[i] + noise[i] * noise[i];
    share += squares > 0 ? noise[i] * noise[i] / squares : 1;
  }
  const double entries = static_cast<double>(mu.size());
  return std::pow(entries, 0.25) * std::sqrt(std::max(0.0, 1 - share / entries));
}

double inflation_bound(double frobenius_norm, std::int64_t m, std::int64_t n) {
  return frobenius_norm / std::sqrt(static_cast<double>(std::min(m, n)));
}

}  // namespace evenkeel::telemetry
