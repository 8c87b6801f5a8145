#include "evenkeel/base/moments.h"

#include <algorithm>
#include <limits>

namespace evenkeel {

void Moments::add(double x) {
  if (!std::isfinite(x)) {
    ++non_finite;
    return;
  }
  ++count;
  const double delta = x - mean;
  mean += delta / static_cast<double>(count);
  m2 += delta * (x - mean);
  abs_max = std::max(abs_max, std::abs(x));
}

void Moments::merge(const Moments& other) {
  non_finite += other.non_finite;
  if (other.count == 0) return;
  const double n = static_cast<double>(count + other.count);
  const double delta = other.mean - mean;
  mean += delta * static_cast<double>(other.count) / n;
  m2 += other.m2 + delta * delta * static_cast<double>(count) * static_cast<double>(other.count) / n;
  count += other.count;
  abs_max = std::max(abs_max, other.abs_max);
}

double Moments::rms() const {
  if (non_finite > 0) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(variance() + mean * mean);
}

}  // namespace evenkeel
