#include "evenkeel/ops/entropy_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/ops/expect.h"
#include "evenkeel/telemetry/entropy_bound.h"

namespace evenkeel::ops {
namespace {

struct Shape {
  std::int64_t queries, keys, width;
  bool causal;
};

/// By nearest rank; NaN when a value is none.
double quantile(std::vector<double>& values, double share) {
  if (std::any_of(values.begin(), values.end(), [](double x) { return std::isnan(x); }))
    return std::numeric_limits<double>::quiet_NaN();
  const auto rank = static_cast<std::ptrdiff_t>(std::ceil(share * static_cast<double>(values.size()))) - 1;
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

/// `sink`: null for none.
EntropyCheck of_head(const double* q, const double* transposed_k, const Shape& shape,
                     const kernels::ScoreRule& rule, const double* sink) {
  const auto [queries, keys, width, causal] = shape;
  const std::int64_t first = causal ? 1 : 0;
  EntropyCheck check;
  check.slack = std::numeric_limits<double>::infinity();
  std::vector<double> logits_seen;
  std::vector<double> z(static_cast<std::size_t>(keys + 1));
  for (std::int64_t i = first; i < queries; ++i) {
    const std::int64_t n = causal ? i + 1 : keys;
    std::fill_n(z.begin(), n, 0.0);
    for (std::int64_t c = 0; c < width; ++c) {
      const double x = rule.scale * q[i * width + c];
      const double* row = transposed_k + c * keys;
      for (std::int64_t j = 0; j < n; ++j) z[static_cast<std::size_t>(j)] += x * row[j];
    }
    if (rule.softcap > 0)
      for (double& one : std::span(z).first(static_cast<std::size_t>(n)))
        one = rule.softcap * std::tanh(one / rule.softcap);
    logits_seen.insert(logits_seen.end(), z.begin(), z.begin() + n);
    const std::int64_t logits = n + (sink != nullptr ? 1 : 0);
    if (sink != nullptr) z[static_cast<std::size_t>(n)] = *sink;
    const auto [entropy, norm] = telemetry::row_entropy({z.data(), static_cast<std::size_t>(logits)});
    const double bound = telemetry::entropy_bound(logits, norm), slack = entropy - bound;
    check.bound += bound / static_cast<double>(queries - first);
    const bool violated = !(slack >= -telemetry::entropy_bound_slack(logits));
    check.violated = check.violated || violated;
    if (logits == 2 && keys > 2 && !violated) continue;
    if (slack < check.slack || std::isnan(slack)) check.slack = slack;  // nothing is below a NaN
  }
  check.logit_q999 = quantile(logits_seen, 0.999);
  return check;
}

}  // namespace

std::vector<EntropyCheck> entropy_check(const at::Tensor& q, const at::Tensor& k,
                                        const kernels::ScoreRule& rule, bool causal, const at::Tensor& sink) {
  const Expect expect("entropy_check");
  expect.tensor("q", q, {kAny, kAny, kAny}, {at::kDouble});
  expect.tensor("k", k, {q.size(0), kAny, q.size(2)}, {at::kDouble});
  expect.that(k.size(1) >= 2 && (!causal || k.size(1) == q.size(1)),
              "takes two keys at least, and as many keys as queries where a query sees those before it");
  const std::int64_t heads = q.size(0);
  expect.optional("sink", sink, {heads}, {at::kDouble});
  expect.that(rule.kind == kernels::WeightRule::kSoftmax,
              "takes scores of a softmax: the theorem is about distributions");
  const Shape shape{q.size(1), k.size(1), q.size(2), causal};
  const at::Tensor queries = q.detach().contiguous(), keys = k.detach().transpose(1, 2).contiguous(),
                   sinks = sink.defined() ? sink.detach().contiguous() : sink;
  std::vector<EntropyCheck> checks(static_cast<std::size_t>(heads));
  kernels::parallel_for(heads, [&](std::int64_t h) {
    checks[static_cast<std::size_t>(h)] =
        of_head(queries.data_ptr<double>() + h * shape.queries * shape.width,
                keys.data_ptr<double>() + h * shape.keys * shape.width, shape, rule,
                sinks.defined() ? sinks.data_ptr<double>() + h : nullptr);
  });
  return checks;
}

}  // namespace evenkeel::ops
