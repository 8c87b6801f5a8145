#include "evenkeel/ops/entropy_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/telemetry/entropy_bound.h"

namespace evenkeel::ops {
namespace {

EntropyCheck of_head(const double* q, const double* transposed_k, std::int64_t time, std::int64_t width,
                     double scale) {
  EntropyCheck check{std::numeric_limits<double>::infinity(), 0, false};
  std::vector<double> z(static_cast<std::size_t>(time));
  for (std::int64_t i = 1; i < time; ++i) {
    const std::int64_t n = i + 1;
    std::fill_n(z.begin(), n, 0.0);
    for (std::int64_t c = 0; c < width; ++c) {
      const double x = scale * q[i * width + c];
      const double* row = transposed_k + c * time;
      for (std::int64_t j = 0; j < n; ++j) z[static_cast<std::size_t>(j)] += x * row[j];
    }
    const auto [entropy, norm] = telemetry::row_entropy({z.data(), static_cast<std::size_t>(n)});
    const double bound = telemetry::entropy_bound(n, norm), slack = entropy - bound;
    check.bound += bound / static_cast<double>(time - 1);
    const bool violated = !(slack >= -telemetry::entropy_bound_slack(n));
    check.violated = check.violated || violated;
    if (n == 2 && time > 2 && !violated) continue;
    if (slack < check.slack || std::isnan(slack)) check.slack = slack;  // nothing is below a NaN
  }
  return check;
}

}  // namespace

std::vector<EntropyCheck> entropy_check(const at::Tensor& q, const at::Tensor& k, double scale) {
  const std::int64_t heads = q.size(0), time = q.size(1), width = q.size(2);
  const at::Tensor queries = q.detach().contiguous(), keys = k.detach().transpose(1, 2).contiguous();
  std::vector<EntropyCheck> checks(static_cast<std::size_t>(heads));
  kernels::parallel_for(heads, [&](std::int64_t h) {
    checks[static_cast<std::size_t>(h)] =
        of_head(queries.data_ptr<double>() + h * time * width, keys.data_ptr<double>() + h * time * width,
                time, width, scale);
  });
  return checks;
}

}  // namespace evenkeel::ops
