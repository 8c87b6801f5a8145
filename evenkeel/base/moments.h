// Count, mean, centred sum of squares, largest magnitude and number of non-finite values of a set of numbers;
// mergeable (Chan et al. 1983), so parts may be gathered in any fixed order.
#pragma once

#include <cmath>
#include <cstdint>

namespace evenkeel {

struct Moments {
  std::int64_t count = 0;  ///< finite values seen
  double mean = 0;
  double m2 = 0;  ///< sum of squared deviations from the mean
  double abs_max = 0;
  std::int64_t non_finite = 0;

  void add(double x);
  void merge(const Moments& other);
  double variance() const { return count > 0 ? m2 / static_cast<double>(count) : 0; }
  /// Root mean square; NaN when any value was not finite.
  double rms() const;
};

}  // namespace evenkeel
