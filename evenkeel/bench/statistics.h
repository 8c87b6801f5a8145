// Medians, and how sure they are, from few and skewed numbers such as step times.
#pragma once

#include <optional>
#include <vector>

namespace evenkeel::bench {

/// Of at least one value.
double median(std::vector<double> values);

/// Upper end of the one-sided 95 % confidence interval of the median, by the sign test: the smallest value
/// x_(k) in order with P(Binomial(n, 1/2) <= k - 1) >= 0.95. Assumes nothing about the distribution but that
/// the values are independent. Nothing for fewer than 5 values, where no value is sure enough.
std::optional<double> median_upper95(std::vector<double> values);

}  // namespace evenkeel::bench
