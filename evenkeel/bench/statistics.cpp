#include "evenkeel/bench/statistics.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::bench {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::optional<double> median_upper95(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double below = 0;  // P(Binomial(n, 1/2) <= k)
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto i = static_cast<double>(k);
    if (below >= 0.95) return values[k - 1];
    below += std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) - n * std::log(2.0));
  }
  if (below >= 0.95 && !values.empty()) return values.back();
  return std::nullopt;
}

}  // namespace evenkeel::bench
