#include "evenkeel/analysis/stats.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace evenkeel::analysis {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double m = mean(values);
  double sum = 0;
  for (const double v : values) sum += (v - m) * (v - m);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

Line line_through(const std::vector<double>& x, const std::vector<double>& y) {
  const double mx = mean(x), my = mean(y);
  double xx = 0, xy = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    xy += (x[i] - mx) * (y[i] - my);
    yy += (y[i] - my) * (y[i] - my);
  }
  return {xy / xx, yy > 0 ? xy * xy / (xx * yy) : 1};
}

double t_half_width(const std::vector<double>& values, double level) {
  const double n = static_cast<double>(values.size());
  const boost::math::students_t t(n - 1);
  return boost::math::quantile(t, 0.5 + level / 2) * standard_deviation(values) / std::sqrt(n);
}

double jackknife_half_width(const std::vector<double>& leave_one_out, double level) {
  // The leave-one-out values of a mean are (n - 1) times closer together than the units.
  return (static_cast<double>(leave_one_out.size()) - 1) * t_half_width(leave_one_out, level);
}

Estimate mean_with_interval(const std::vector<double>& values, double level) {
  if (values.empty()) return Estimate::missing("no seeds");
  for (const double v : values) {
    if (!std::isfinite(v)) return Estimate::missing("a value is not finite");
  }
  Estimate e;
  e.n = static_cast<int>(values.size());
  e.value = mean(values);
  if (values.size() == 1) {
    e.why = "one seed has no spread";
    return e;
  }
  const double half = t_half_width(values, level);
  e.interval = Interval{*e.value - half, *e.value + half};
  return e;
}

}  // namespace evenkeel::analysis
