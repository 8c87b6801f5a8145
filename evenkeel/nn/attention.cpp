#include "evenkeel/nn/attention.h"

#include <tuple>

#include "evenkeel/ops/attention.h"
#include "evenkeel/ops/rotary.h"

namespace evenkeel::nn {
namespace {

using Field = double kernels::AttentionStats::*;
constexpr std::pair<const char*, Field> kStats[] = {{"logit_max", &kernels::AttentionStats::logit_max},
                                                    {"logit_absmax", &kernels::AttentionStats::logit_absmax},
                                                    {"logit_rms", &kernels::AttentionStats::logit_rms},
                                                    {"entropy", &kernels::AttentionStats::entropy},
                                                    {"entropy_norm", &kernels::AttentionStats::entropy_norm},
                                                    {"q_norm", &kernels::AttentionStats::q_norm},
                                                    {"k_norm", &kernels::AttentionStats::k_norm},
                                                    {"qk_cosine", &kernels::AttentionStats::qk_cosine}};

void report(const std::vector<kernels::AttentionStats>& stats, const std::string& site, StatSink& sink) {
  for (const auto& [name, field] : kStats) {
    std::vector<double> values;
    for (const kernels::AttentionStats& head : stats) values.push_back(head.*field);
    sink.heads("attn/" + site + "/" + name, std::move(values));
  }
}

}  // namespace

Attention::Attention(const AttentionShape& shape, std::string site)
    : q(add_child("q", std::make_unique<Linear>(shape.width, shape.width, shape.bias))),
      k(add_child("k", std::make_unique<Linear>(shape.width, shape.width, shape.bias))),
      v(add_child("v", std::make_unique<Linear>(shape.width, shape.width, shape.bias))),
      o(add_child("o", std::make_unique<Linear>(shape.width, shape.width, shape.bias))),
      shape_(shape),
      site_(std::move(site)) {
  Attention::convert_buffers(at::kFloat);
}

at::Tensor Attention::forward(const at::Tensor& x, std::int64_t batch, const Context& context) const {
  const std::int64_t time = x.size(0) / batch;
  const auto split = [&](const at::Tensor& y) {
    return y.view({batch, time, shape_.heads, shape_.head_width()});
  };
  at::Tensor query = split(q.forward(x, context)), key = split(k.forward(x, context));
  if (query_transform_ != nullptr) query = query_transform_->forward(query);
  if (key_transform_ != nullptr) key = key_transform_->forward(key);
  query = ops::rotary(query, cos_, sin_);
  key = ops::rotary(key, cos_, sin_);
  const at::Tensor value = split(v.forward(x, context)).transpose(1, 2).contiguous();
  const at::Tensor mask = mask_.narrow(0, 0, time).narrow(1, 0, time);
  const ops::AttentionResult result = ops::causal_attention(query, key, value, mask, context.rounding());
  if (context.stats != nullptr) report(ops::attention_stats(query, key, result), site_, *context.stats);
  return o.forward(result.out.transpose(1, 2).reshape({batch * time, shape_.width}), context);
}

void Attention::convert_buffers(at::ScalarType type) {
  std::tie(cos_, sin_) = ops::rotary_table(shape_.context, shape_.head_width(), shape_.rope_base);
  cos_ = cos_.to(type);
  sin_ = sin_.to(type);
  mask_ = ops::causal_mask(shape_.context, type);
}

void Attention::set_transforms(const std::string& name, std::unique_ptr<HeadTransform> query,
                               std::unique_ptr<HeadTransform> key) {
  query_transform_ = &add_child("q_" + name, std::move(query));
  key_transform_ = &add_child("k_" + name, std::move(key));
}

}  // namespace evenkeel::nn
