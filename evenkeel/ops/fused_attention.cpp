#include "evenkeel/ops/fused_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <limits>

#include "evenkeel/ops/dropout.h"
#include "evenkeel/ops/layer_norm.h"
#include "evenkeel/ops/rotary.h"
#include "evenkeel/ops/storage.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = c10::optional<at::Tensor>;

/// Constant tensors and options, handed from the forward to the backward pass.
struct Setting : torch::CustomClassHolder {
  FusedAttentionInputs constants;  ///< without x, memory and gains
  FusedAttentionOptions options;
};

/// Queries, keys and values inside the arrays that hold them (of activations or of gradients).
template <class T>
struct Operands {
  kernels::Heads<T> q, k, v;
};

template <class T>
Operands<T> operands(const at::Tensor& x, const at::Tensor& memory, const FusedAttentionOptions& o) {
  auto* first = reinterpret_cast<T*>(x.data_ptr());
  const std::int64_t times = x.size(0) / o.batch, row = x.size(1);
  if (!memory.defined()) {
    const std::int64_t width = row / 3;
    const auto part = [&](std::int64_t i) { return kernels::Heads<T>{first + i * width, times * row, row}; };
    return {part(0), part(1), part(2)};
  }
  auto* other = reinterpret_cast<T*>(memory.data_ptr());
  const std::int64_t keys = memory.size(0) / o.batch, other_row = memory.size(1);
  return {{first, times * row, row},
          {other, keys * other_row, other_row},
          {other + other_row / 2, keys * other_row, other_row}};
}
template <class T>
Operands<const T> constant(const Operands<T>& o) {
  const auto one = [](const kernels::Heads<T>& h) {
    return kernels::Heads<const T>{h.data, h.sequence, h.token};
  };
  return {one(o.q), one(o.k), one(o.v)};
}

kernels::AttentionProblem problem_of(const at::Tensor& x, const at::Tensor& memory,
                                     const at::Tensor& query_gain, const at::Tensor& key_gain,
                                     const Setting& s) {
  const FusedAttentionOptions& o = s.options;
  kernels::AttentionProblem p;
  p.batch = o.batch;
  p.heads = o.heads;
  p.queries = x.size(0) / o.batch;
  p.keys = memory.defined() ? memory.size(0) / o.batch : p.queries;
  p.width = x.size(1) / (memory.defined() ? 1 : 3) / o.heads;
  p.causal = o.causal;
  p.query_lengths = values<std::int64_t>(s.constants.query_lengths);
  p.key_lengths = values<std::int64_t>(s.constants.key_lengths);
  p.scale = o.scale;
  p.softcap = o.softcap;
  p.norm = {values<float>(query_gain), values<float>(key_gain), o.own_gains, o.whole, o.eps};
  p.cos = values<float>(s.constants.cos);
  p.sin = values<float>(s.constants.sin);
  p.dropout = o.dropout;
  return p;
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Optional& memory_or_none,
                            const Optional& query_gain_or_none, const Optional& key_gain_or_none,
                            const c10::intrusive_ptr<Setting>& setting, kernels::AttentionStats* stats) {
    const at::Tensor memory = tensor_or_none(memory_or_none), query_gain = tensor_or_none(query_gain_or_none),
                     key_gain = tensor_or_none(key_gain_or_none);
    const kernels::AttentionProblem p = problem_of(x, memory, query_gain, key_gain, *setting);
    at::Tensor out = at::empty({x.size(0), p.heads * p.width}, x.options()),
               softmax = at::empty({p.batch, p.heads, p.queries, 2}, x.options().dtype(at::kFloat));
    const at::Tensor wide =
        x.scalar_type() == at::kFloat ? out : at::empty(out.sizes(), x.options().dtype(at::kFloat));
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      const Operands<const T> in = constant(operands<T>(x, memory, setting->options));
      kernels::attention_forward<T>(p, in.q, in.k, in.v, values<T>(out), wide.data_ptr<float>(),
                                    softmax.data_ptr<float>(), stats);
    });
    ctx->save_for_backward({x, memory, query_gain, key_gain, wide, softmax});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(setting);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &memory = saved[1], &query_gain = saved[2], &key_gain = saved[3],
                     &wide = saved[4], &softmax = saved[5];
    const auto setting = c10::static_intrusive_pointer_cast<Setting>(ctx->saved_data["setting"].toCapsule());
    const at::Tensor d_out = upstream[0].contiguous();
    const auto like = [](const at::Tensor& t) { return t.defined() ? at::empty_like(t) : at::Tensor(); };
    const at::Tensor dx = like(x), d_memory = like(memory), d_query_gain = like(query_gain),
                     d_key_gain = like(key_gain);
    const kernels::AttentionProblem p = problem_of(x, memory, query_gain, key_gain, *setting);
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      const Operands<const T> in = constant(operands<T>(x, memory, setting->options));
      const Operands<T> gradient = operands<T>(dx, d_memory, setting->options);
      kernels::attention_backward<T>(p, in.q, in.k, in.v, wide.data_ptr<float>(), softmax.data_ptr<float>(),
                                     values<const T>(d_out), gradient.q, gradient.k, gradient.v,
                                     values<float>(d_query_gain), values<float>(d_key_gain));
    });
    return {dx, d_memory, d_query_gain, d_key_gain, at::Tensor(), at::Tensor()};
  }
};

/// One of the parts side by side in x: [B, T, H, K].
at::Tensor heads_of(const at::Tensor& x, std::int64_t part, std::int64_t width,
                    const FusedAttentionOptions& o) {
  return x.narrow(1, part * width, width).reshape({o.batch, x.size(0) / o.batch, o.heads, width / o.heads});
}

/// Norm, rotation: [B, T, H, K] -> [B H, T, K].
at::Tensor transform_plain(const at::Tensor& x, const at::Tensor& gain, const FusedAttentionInputs& in,
                           const FusedAttentionOptions& o) {
  at::Tensor y = x;
  if (gain.defined()) {
    if (o.whole) y = layer_norm_plain(x.flatten(2), gain.flatten(), {}, o.eps).view(x.sizes());
    else y = layer_norm_plain(x, {}, {}, o.eps) * gain;
  }
  if (in.cos.defined()) y = rotary(y, in.cos.to(y.scalar_type()), in.sin.to(y.scalar_type()));
  else y = y.transpose(1, 2);
  return y.reshape({x.size(0) * x.size(2), x.size(1), x.size(3)});
}

/// True where query i of a sequence sees key j: [B, 1, T, S].
at::Tensor visible_plain(const FusedAttentionInputs& in, const FusedAttentionOptions& o, std::int64_t queries,
                         std::int64_t keys) {
  const at::Tensor i = at::arange(queries, at::kLong).view({1, 1, queries, 1}),
                   j = at::arange(keys, at::kLong).view({1, 1, 1, keys});
  at::Tensor seen = (j >= 0).expand({o.batch, 1, queries, keys});
  if (o.causal) seen = seen.logical_and(j <= i + (keys - queries));
  if (in.key_lengths.defined()) seen = seen.logical_and(j < in.key_lengths.view({o.batch, 1, 1, 1}));
  return seen;
}

}  // namespace

at::Tensor fused_attention(const FusedAttentionInputs& in, const FusedAttentionOptions& options,
                           std::vector<kernels::AttentionStats>* stats) {
  if (!has_kernels(in.x.scalar_type())) return fused_attention_plain(in, options);
  auto setting = c10::make_intrusive<Setting>();
  setting->options = options;
  setting->constants = in;
  setting->constants.x = setting->constants.memory = at::Tensor();
  setting->constants.query_gain = setting->constants.key_gain = at::Tensor();
  if (stats != nullptr) stats->assign(static_cast<std::size_t>(options.heads), {});
  const auto packed = [](const at::Tensor& t) { return optional(t.defined() ? t.contiguous() : t); };
  return FusedAttention::apply(in.x.contiguous(), packed(in.memory), packed(in.query_gain),
                               packed(in.key_gain), setting, stats != nullptr ? stats->data() : nullptr);
}

std::pair<at::Tensor, at::Tensor> query_key_plain(const FusedAttentionInputs& in,
                                                  const FusedAttentionOptions& o) {
  const bool cross = in.memory.defined();
  const std::int64_t width = in.x.size(1) / (cross ? 1 : 3);
  return {transform_plain(heads_of(in.x, 0, width, o), in.query_gain, in, o),
          transform_plain(heads_of(cross ? in.memory : in.x, cross ? 0 : 1, width, o), in.key_gain, in, o)};
}

std::vector<kernels::AttentionStats> attention_stats_plain(const FusedAttentionInputs& in,
                                                           const FusedAttentionOptions& o) {
  const c10::AutoGradMode no_grad(false);
  auto [q, k] = query_key_plain(in, o);
  q = q.to(at::kDouble).view({o.batch, o.heads, -1, q.size(2)});
  k = k.to(at::kDouble).view({o.batch, o.heads, -1, k.size(2)});
  const at::Tensor qk = at::matmul(q, k.transpose(2, 3)), q_norm = q.norm(2, {3}), k_norm = k.norm(2, {3});
  at::Tensor z = qk * o.scale;
  if (o.softcap > 0) z = (z / o.softcap).tanh() * o.softcap;
  const std::int64_t queries = q.size(2), keys = k.size(2);
  // [B, 1, T, S], [B, 1, T] and [B, 1, S]: 1 where a pair, a query, a key counts.
  const auto within = [&](const at::Tensor& lengths, std::int64_t n) {
    const at::Tensor all = at::ones({o.batch, 1, n}, at::kDouble);
    if (!lengths.defined()) return all;
    return all * (at::arange(n, at::kLong).view({1, 1, n}) < lengths.view({o.batch, 1, 1}));
  };
  const at::Tensor rows = within(in.query_lengths, queries), columns = within(in.key_lengths, keys),
                   pairs = visible_plain(in, o, queries, keys) * rows.unsqueeze(3);
  const at::Tensor hidden = pairs == 0, seen = pairs.sum(3), wide = (seen > 1).to(at::kDouble),
                   counted = (seen > 0).to(at::kDouble);
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor a = at::softmax(z.masked_fill(hidden, -infinity), -1);
  const at::Tensor entropy = -(a * a.log()).masked_fill(hidden, 0).nan_to_num(0).sum(3) * wide;
  const at::Tensor norms = q_norm.unsqueeze(3) * k_norm.unsqueeze(2);
  const at::Tensor cosine = (qk / norms).masked_fill(norms == 0, 0) * pairs;
  const auto per_head = [](const at::Tensor& t) { return t.flatten(2).sum(at::IntArrayRef{0, 2}); };
  const auto mean = [&](const at::Tensor& sum, const at::Tensor& n) {
    return (per_head(sum) / n.sum().clamp_min(1)).contiguous();
  };
  const at::Tensor logits = z.masked_fill(hidden, -infinity).transpose(0, 1).flatten(1),
                   sizes = z.abs().masked_fill(hidden, 0).transpose(0, 1).flatten(1),
                   ln = seen.clamp_min(2).log();
  const std::array<at::Tensor, 8> numbers{std::get<0>(logits.max(1)),
                                          std::get<0>(sizes.max(1)),
                                          mean(z.square() * pairs, pairs).sqrt(),
                                          mean(entropy, wide),
                                          mean(entropy / ln, wide),
                                          mean(q_norm * counted, counted),
                                          mean(k_norm * columns, columns),
                                          mean(cosine, pairs)};
  std::vector<kernels::AttentionStats> all;
  for (std::int64_t h = 0; h < o.heads; ++h) {
    const auto at = [&](std::size_t i) { return numbers[i][h].item<double>(); };
    all.push_back({at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)});
  }
  return all;
}

at::Tensor fused_attention_plain(const FusedAttentionInputs& in, const FusedAttentionOptions& o) {
  const bool cross = in.memory.defined();
  const at::Tensor keys_values = cross ? in.memory : in.x;
  const std::int64_t queries = in.x.size(0) / o.batch, keys = keys_values.size(0) / o.batch,
                     width = in.x.size(1) / (cross ? 1 : 3), head = width / o.heads;
  const auto [q, k] = query_key_plain(in, o);
  const at::Tensor v =
      heads_of(keys_values, cross ? 1 : 2, width, o).transpose(1, 2).reshape({o.batch * o.heads, keys, head});
  at::Tensor z = at::bmm(q, k.transpose(1, 2)) * o.scale;
  if (o.softcap > 0) z = (z / o.softcap).tanh() * o.softcap;
  const at::Tensor seen =
      visible_plain(in, o, queries, keys).expand({o.batch, o.heads, queries, keys}).reshape(z.sizes());
  at::Tensor a = at::softmax(z.masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity()), -1);
  // A query that sees nothing gives nothing.
  a = a.masked_fill(seen.any(-1, true).logical_not(), 0);
  if (o.dropout.on()) a = a * dropout_mask(a, o.dropout);
  return at::bmm(a, v)
      .view({o.batch, o.heads, queries, head})
      .transpose(1, 2)
      .reshape({o.batch * queries, width});
}

}  // namespace evenkeel::ops
