#include "evenkeel/nn/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cmath>
#include <tuple>

#include "evenkeel/ops/attention.h"
#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/rotary.h"
#include "evenkeel/ops/storage.h"

namespace evenkeel::nn {
namespace {

/// What would have no meaning is not recorded.
void report(const std::vector<kernels::AttentionStats>& stats, bool distribution, bool has_sink,
            const std::string& site, StatSink& sink) {
  for (const kernels::AttentionStat& stat : kernels::kAttentionStats) {
    if ((stat.of_distribution && !distribution) || (stat.of_sink && !has_sink)) continue;
    std::vector<double> values;
    for (const kernels::AttentionStats& head : stats) values.push_back(head.*stat.value);
    sink.heads("attn/" + site + "/" + stat.name, std::move(values));
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
  score_.scale = 1 / std::sqrt(static_cast<double>(shape.head_width()));
  if (shape.dropout > 0)
    weight_dropout_ = &add_child("weight_dropout", std::make_unique<Dropout>(shape.dropout));
  Attention::convert_buffers(at::kFloat);
}

at::Tensor Attention::forward(const at::Tensor& x, std::int64_t batch, const Context& context) const {
  return forward(x, {}, {}, batch, context);
}

at::Tensor Attention::out(const at::Tensor& heads, const Context& context) const {
  return o.forward(inner_norm_ != nullptr ? inner_norm_->forward(heads, context) : heads, context);
}

at::Tensor Attention::forward(const at::Tensor& x, const at::Tensor& memory, const Sight& sight,
                              std::int64_t batch, const Context& context) const {
  const bool cross = memory.defined();
  const std::vector<at::Tensor> weights = weights_in_use({&q, &k, &v}, context);
  const std::array<const Linear*, 3> layers{&q, &k, &v};
  const auto side_by_side = [&](const at::Tensor& from, std::size_t first, std::size_t end) {
    ops::LinearWeights together;
    std::vector<at::Tensor> apart;
    for (std::size_t i = first; i < end; ++i) {
      const at::Tensor bias = layers[i]->bias_in_use(weights[i]);
      if (!context.fused()) apart.push_back(ops::linear(from, weights[i], bias, context.rounding()));
      together.weights.push_back(weights[i]);
      if (bias.defined()) together.biases.push_back(bias);
    }
    return context.fused() ? ops::fused_linear(from, together) : at::cat(apart, 1);
  };
  ops::AttentionInputs in;
  in.x = side_by_side(x, 0, cross ? 1 : 3);
  if (cross) in.memory = side_by_side(memory, 1, 3);
  if (shape_.rotary) {
    in.cos = cos_;
    in.sin = sin_;
  }
  in.query_lengths = sight.query_lengths;
  in.key_lengths = sight.key_lengths;
  ops::AttentionOptions options;
  options.batch = batch;
  options.heads = shape_.heads;
  options.causal = sight.causal;
  options.score = score(context);
  if (sight.causal) options.score.positions = static_cast<double>(shape_.context);
  in.sink = sink();
  if (weight_dropout_ != nullptr) options.dropout = weight_dropout_->at(context);
  const auto query = query_transform_ != nullptr ? query_transform_->as_norm() : std::nullopt;
  const auto key = key_transform_ != nullptr ? key_transform_->as_norm() : std::nullopt;
  // On the plain path a norm is what its own module says: the kernels' form of it is checked against that.
  if (context.fused() && query && key) {
    in.query_gain = query->gain;
    in.key_gain = key->gain;
    options.own_gains = query->own_gains;
    options.whole = query->whole;
    options.eps = query->eps;
  } else if (query_transform_ != nullptr) {
    // The treatment works on the queries and keys as tensors.
    const std::int64_t width = shape_.width;
    const auto transformed = [&](const at::Tensor& from, std::int64_t part, const HeadTransform& transform) {
      const at::ScalarType wide = c10::promoteTypes(from.scalar_type(), at::kFloat);
      const at::Tensor heads = from.narrow(1, part * width, width)
                                   .to(wide)
                                   .reshape({batch, -1, shape_.heads, shape_.head_width()});
      return transform.forward(heads).reshape({-1, width}).to(from.scalar_type());
    };
    const at::Tensor keys_values = cross ? in.memory : in.x;
    const std::int64_t first = cross ? 0 : 1;
    const at::Tensor new_query = transformed(in.x, 0, *query_transform_),
                     new_key = transformed(keys_values, first, *key_transform_),
                     value = keys_values.narrow(1, (first + 1) * width, width);
    in.x = cross ? new_query : at::cat({new_query, new_key, value}, 1);
    if (cross) in.memory = at::cat({new_key, value}, 1);
  }
  if (context.query_key != nullptr) {
    ops::AttentionInputs wide = in;
    for (at::Tensor* t : {&wide.x, &wide.memory, &wide.query_gain, &wide.key_gain, &wide.sink})
      if (t->defined()) *t = t->to(at::kDouble);
    const auto [query_in, key_in] = ops::query_key_reference(wide, options);
    context.query_key->query_key(site_, query_in, key_in, options.score, sight.causal, wide.sink);
  }
  std::vector<kernels::AttentionStats> stats;
  const bool clips = qk_clip_ > 0 && context.training;
  auto* const wanted = context.stats != nullptr || clips ? &stats : nullptr;
  const at::Tensor heads = context.fused()
                               ? ops::attention(in, options, wanted)
                               : ops::attention_reference(in, options, context.rounding(), wanted);
  if (context.stats != nullptr)
    report(stats, score_.kind == kernels::WeightRule::kSoftmax, has_sink_, site_, *context.stats);
  if (clips) {
    largest_logit_.clear();
    std::vector<double> factors;
    for (const kernels::AttentionStats& head : stats) {
      largest_logit_.push_back(head.logit_max);
      factors.push_back(clip_factor(head.logit_max));
    }
    if (context.stats != nullptr) context.stats->heads("attn/" + site_ + "/qk_clip", std::move(factors));
  }
  return out(gate_ != nullptr ? gated(heads, x, sight.query_lengths, context) : heads, context);
}

at::Tensor Attention::gated(const at::Tensor& heads, const at::Tensor& x, const at::Tensor& lengths,
                            const Context& context) const {
  const at::ScalarType wide = c10::promoteTypes(heads.scalar_type(), at::kFloat);
  const std::int64_t rows = heads.size(0);
  const at::Tensor factors = at::sigmoid(gate_->forward(x, context).to(wide)).view({rows, shape_.heads, -1});
  if (context.stats != nullptr) {
    constexpr double kClosed = 0.1;
    at::Tensor counted = factors.detach();
    if (lengths.defined()) {
      const at::Tensor tokens = at::arange(rows / lengths.size(0), at::kLong) < lengths.unsqueeze(1);
      counted = counted.index_select(0, tokens.flatten().nonzero().squeeze(1));
    }
    const at::Tensor per_head = counted.to(at::kDouble).transpose(0, 1).flatten(1);
    const auto report_mean = [&](const char* name, const at::Tensor& of) {
      context.stats->heads("attn/" + site_ + "/" + name, ops::numbers(of.to(at::kDouble).mean(1)));
    };
    report_mean("gate_mean", per_head);
    report_mean("gate_closed", per_head < kClosed);
  }
  return (heads.view({rows, shape_.heads, -1}) * factors).reshape({rows, -1}).to(heads.scalar_type());
}

kernels::ScoreRule Attention::score(const Context& context) const {
  kernels::ScoreRule rule = score_;
  rule.scale /= context.temperature;
  return rule;
}

void Attention::set_scale(const std::string& name, double scale) {
  require_free("the scale of the scores of " + path(), scale_name_, name);
  scale_name_ = name;
  score_.scale = scale;
}

void Attention::set_softcap(const std::string& name, double cap) {
  require_free("the soft cap of " + path(), softcap_name_, name);
  softcap_name_ = name;
  score_.softcap = cap;
}

void Attention::set_weight_rule(const std::string& name, kernels::WeightRule rule) {
  require_free("the weights of " + path(), has_sink_ ? "sink" : weight_rule_name_, name);
  weight_rule_name_ = name;
  score_.kind = rule;
}

void Attention::set_sink(bool learnable) {
  require_free("the weights of " + path(), has_sink_ ? "sink" : weight_rule_name_, "sink");
  has_sink_ = true;
  if (learnable) learnt_sink_ = &add_param("sink", {shape_.heads}, Role::kBias, Init::kZeros);
}

at::Tensor Attention::sink() const {
  if (learnt_sink_ != nullptr) return learnt_sink_->value;
  if (!has_sink_) return {};
  return at::zeros({shape_.heads}, q.weight.value.options().requires_grad(false));
}

std::vector<OpUse> Attention::op_uses(const Context& context) const {
  std::vector<OpUse> uses{context.use("attention", q.weight.value.scalar_type())};
  if (gate_ != nullptr) uses.push_back({"output_gate", OpPath::kPlain, "one product per value", false});
  if (query_transform_ == nullptr) return uses;
  OpUse transform = uses.front();
  transform.op = "query_key_transform";
  if (transform.path == OpPath::kFused && !(query_transform_->as_norm() && key_transform_->as_norm()))
    transform = {transform.op, OpPath::kPlain, "the treatment has no fused form", false};
  uses.push_back(std::move(transform));
  return uses;
}

void Attention::convert_buffers(const at::TensorOptions& options) {
  if (!shape_.rotary) return;
  std::tie(cos_, sin_) = ops::rotary_table(shape_.context, shape_.head_width(), shape_.rope_base);
  cos_ = cos_.to(options);
  sin_ = sin_.to(options);
}

void Attention::set_weight_transform(const std::string& name, std::unique_ptr<WeightTransform> transform) {
  for (const Linear* member : transform->members()) member->require_no_weight_transform(name);
  WeightTransform& added = add_child(name, std::move(transform));
  for (Linear* member : added.members()) member->set_weight_transform(name, added);
}

// 1 unless S > tau, also for S < 0 and NaN, of which a root could be taken.
double Attention::clip_factor(double largest_logit) const {
  return largest_logit > qk_clip_ ? qk_clip_ / largest_logit : 1;
}

void Attention::set_qk_clip(double tau) {
  require_free("queries and keys after an update of " + path(), qk_clip_ > 0 ? "qk_clip" : "", "qk_clip");
  qk_clip_ = tau;
}

void Attention::constrain_parameters() {
  const c10::AutoGradMode no_grad(false);
  const std::int64_t width = shape_.head_width();
  for (std::size_t h = 0; h < largest_logit_.size(); ++h) {
    const double factor = std::sqrt(clip_factor(largest_logit_[h]));
    if (factor == 1) continue;
    for (const Param* param : {&q.weight, q.bias, &k.weight, k.bias})
      if (param != nullptr) param->value.narrow(0, static_cast<std::int64_t>(h) * width, width).mul_(factor);
  }
  largest_logit_.clear();
}

void Attention::set_output_gate(bool per_channel) {
  require_free("the output gate of " + path(), gate_ != nullptr ? "gate" : "", "gate");
  gate_ = &add_child(
      "gate", std::make_unique<Linear>(shape_.width, per_channel ? shape_.width : shape_.heads, shape_.bias));
  gate_->draw_by(gate_init, 1);
}

std::vector<const Linear*> Attention::readers(bool cross) const {
  std::vector<const Linear*> all{&q};
  if (!cross) all.insert(all.end(), {&k, &v});
  if (gate_ != nullptr) all.push_back(gate_);
  return all;
}

void Attention::set_inner_norm(std::unique_ptr<Norm> norm) {
  require_free("the inputs of " + path() + ".o", inner_norm_ != nullptr ? "inner_norm" : "", "inner_norm");
  inner_norm_ = &add_child("inner_norm", std::move(norm));
}

void Attention::set_transforms(const std::string& name, std::unique_ptr<HeadTransform> query,
                               std::unique_ptr<HeadTransform> key) {
  require_free("queries and keys of " + path(), transform_name_, name);
  transform_name_ = name;
  query_transform_ = &add_child("q_" + name, std::move(query));
  key_transform_ = &add_child("k_" + name, std::move(key));
}

void for_each_attention(Module& root, const std::function<void(Attention&)>& use) {
  root.visit([&](Module& module) {
    if (auto* attention = dynamic_cast<Attention*>(&module)) use(*attention);
  });
}

}  // namespace evenkeel::nn
