// Means with intervals, and numbers that may be missing for a stated reason.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/median.h"

namespace evenkeel::analysis {

struct Interval {
  double low = 0, high = 0;  ///< may be infinite: not bounded on that side
};

/// A number, or why there is none; and its interval, or why there is none.
struct Estimate {
  std::optional<double> value;
  std::optional<Interval> interval;
  std::string why;  ///< set whenever value or interval is missing
  int n = 0;        ///< seeds (or pairs) behind it

  static Estimate missing(std::string reason) { return {std::nullopt, std::nullopt, std::move(reason), 0}; }
};

/// Mean and Student-t interval of independent values; one value has no interval. Any value that is not finite
/// makes the estimate missing.
Estimate mean_with_interval(const std::vector<double>& values, double level);

/// Half-width of the Student-t interval of a statistic of n units from its n leave-one-out values (the
/// jackknife, Efron & Tibshirani 1993, ch. 11): t(level, n - 1) sqrt((n - 1) / n sum (s_i - mean)^2); n >= 2.
double jackknife_half_width(const std::vector<double>& leave_one_out, double level);

/// Half-width of the Student-t interval of a mean: t(level, n - 1) sd / sqrt(n); n >= 2.
double t_half_width(const std::vector<double>& values, double level);

/// Least squares of y over x, two points or more: slope, and the share of the variance of y that it explains
/// (1 where y has none).
struct Line {
  double slope, r2;
};
Line line_through(const std::vector<double>& x, const std::vector<double>& y);

double mean(const std::vector<double>& values);
/// Sample standard deviation (n - 1); 0 for fewer than two values.
double standard_deviation(const std::vector<double>& values);

}  // namespace evenkeel::analysis
