#include "evenkeel/ops/attention.h"

#include <ATen/ops/full.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/triu.h>

#include <cmath>
#include <limits>

#include "evenkeel/ops/matmul.h"

namespace evenkeel::ops {

at::Tensor causal_mask(std::int64_t time, const at::TensorOptions& options) {
  return at::full({time, time}, -std::numeric_limits<double>::infinity(), options).triu(1);
}

AttentionResult causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& mask, Rounding rounding, double temperature) {
  const std::int64_t batch = q.size(0), heads = q.size(1), time = q.size(2), width = q.size(3);
  const auto flat = [&](const at::Tensor& x) { return x.view({batch * heads, time, width}); };
  const double scale = 1 / std::sqrt(static_cast<double>(width)) / temperature;
  const at::Tensor logits = batched_product(flat(q), flat(k).transpose(1, 2), scale, mask, rounding);
  const at::Tensor weights = at::softmax(logits, -1);
  const at::Tensor out = batched_product(weights, flat(v), 1, {}, rounding);
  return {out.view({batch, heads, time, width}), logits.view({batch, heads, time, time}),
          weights.view({batch, heads, time, time})};
}

std::vector<kernels::AttentionStats> attention_stats(const at::Tensor& q, const at::Tensor& k,
                                                     const AttentionResult& result) {
  const kernels::AttentionShape shape{q.size(0), q.size(1), q.size(2), q.size(3)};
  std::vector<kernels::AttentionStats> out(static_cast<std::size_t>(shape.heads));
  const at::Tensor z = result.logits.contiguous(), a = result.weights.contiguous();
  if (q.scalar_type() == at::kDouble)
    kernels::attention_stats(z.data_ptr<double>(), a.data_ptr<double>(), q.data_ptr<double>(),
                             k.data_ptr<double>(), shape, out.data());
  else
    kernels::attention_stats(z.data_ptr<float>(), a.data_ptr<float>(), q.data_ptr<float>(),
                             k.data_ptr<float>(), shape, out.data());
  return out;
}

}  // namespace evenkeel::ops
