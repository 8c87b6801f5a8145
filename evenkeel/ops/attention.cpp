#include "evenkeel/ops/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/special_entr.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "evenkeel/ops/dropout.h"
#include "evenkeel/ops/expect.h"
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
  AttentionInputs constants;  ///< without x, memory, gains and sink
  AttentionOptions options;
};

/// Queries, keys and values inside the arrays that hold them (of activations or of gradients).
template <class T>
struct Operands {
  kernels::Heads<T> q, k, v;
};

template <class T>
Operands<T> operands(const at::Tensor& x, const at::Tensor& memory, const AttentionOptions& o) {
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
                                     const at::Tensor& sink, const Setting& s) {
  const AttentionOptions& o = s.options;
  kernels::AttentionProblem p;
  p.batch = o.batch;
  p.heads = o.heads;
  p.queries = x.size(0) / o.batch;
  p.keys = memory.defined() ? memory.size(0) / o.batch : p.queries;
  p.width = x.size(1) / (memory.defined() ? 1 : 3) / o.heads;
  p.causal = o.causal;
  p.query_lengths = values<std::int64_t>(s.constants.query_lengths);
  p.key_lengths = values<std::int64_t>(s.constants.key_lengths);
  p.score = o.score;
  p.sinks = values<float>(sink);
  p.norm = {values<float>(query_gain), values<float>(key_gain), o.own_gains, o.whole, o.eps};
  p.cos = values<float>(s.constants.cos);
  p.sin = values<float>(s.constants.sin);
  p.dropout = o.dropout;
  return p;
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Optional& memory_or_none,
                            const Optional& query_gain_or_none, const Optional& key_gain_or_none,
                            const Optional& sink_or_none, const c10::intrusive_ptr<Setting>& setting,
                            kernels::AttentionStats* stats) {
    const at::Tensor memory = tensor_or_none(memory_or_none), query_gain = tensor_or_none(query_gain_or_none),
                     key_gain = tensor_or_none(key_gain_or_none), sink = tensor_or_none(sink_or_none);
    const kernels::AttentionProblem p = problem_of(x, memory, query_gain, key_gain, sink, *setting);
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
    ctx->save_for_backward({x, memory, query_gain, key_gain, sink, wide, softmax});
    ctx->saved_data["setting"] = c10::IValue::make_capsule(setting);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &memory = saved[1], &query_gain = saved[2], &key_gain = saved[3],
                     &sink = saved[4], &wide = saved[5], &softmax = saved[6];
    const auto setting = c10::static_intrusive_pointer_cast<Setting>(ctx->saved_data["setting"].toCapsule());
    const at::Tensor d_out = upstream[0].contiguous();
    const auto like = [](const at::Tensor& t) { return t.defined() ? at::empty_like(t) : at::Tensor(); };
    const at::Tensor dx = like(x), d_memory = like(memory), d_query_gain = like(query_gain),
                     d_key_gain = like(key_gain), d_sink = like(sink);
    const kernels::AttentionProblem p = problem_of(x, memory, query_gain, key_gain, sink, *setting);
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      const Operands<const T> in = constant(operands<T>(x, memory, setting->options));
      const Operands<T> gradient = operands<T>(dx, d_memory, setting->options);
      kernels::attention_backward<T>(p, in.q, in.k, in.v, wide.data_ptr<float>(), softmax.data_ptr<float>(),
                                     values<const T>(d_out), gradient.q, gradient.k, gradient.v,
                                     values<float>(d_query_gain), values<float>(d_key_gain),
                                     values<float>(d_sink));
    });
    return {dx, d_memory, d_query_gain, d_key_gain, d_sink, at::Tensor(), at::Tensor()};
  }
};

/// What both forms expect. Rotation tables of another type than fp32 are read by the reference alone.
void check(const char* op, const AttentionInputs& in, const AttentionOptions& o, bool kernels) {
  const Expect expect(op);
  const at::ScalarType type = in.x.scalar_type(), gains = parameter_type(type);
  expect.tensor("x", in.x, {kAny, kAny}, {at::kFloat, at::kBFloat16, at::kDouble});
  const bool cross = in.memory.defined();
  const std::int64_t parts = cross ? 1 : 3;
  expect.that(o.batch > 0 && o.heads > 0 && o.score.scale > 0 && o.score.softcap >= 0,
              "batch, heads and scale must be positive and softcap not negative");
  expect.that(in.x.size(0) % o.batch == 0 && in.x.size(1) % (parts * o.heads) == 0,
              "x must hold equally many tokens of each sequence, and as much of each head");
  const std::int64_t all = in.x.size(1) / parts, width = all / o.heads, queries = in.x.size(0) / o.batch;
  expect.optional("memory", in.memory, {kAny, 2 * all}, {type});
  expect.that(!cross || in.memory.size(0) % o.batch == 0,
              "memory must hold equally many tokens of each sequence");
  const std::int64_t keys = cross ? in.memory.size(0) / o.batch : queries;
  expect.that(in.query_gain.defined() == in.key_gain.defined(),
              "takes gains of queries and keys, or neither");
  for (const auto& [name, gain] :
       {std::pair{"query_gain", in.query_gain}, std::pair{"key_gain", in.key_gain}}) {
    if (o.whole) expect.optional(name, gain, {all}, {gains});
    else if (o.own_gains) expect.optional(name, gain, {o.heads, width}, {gains});
    else expect.optional(name, gain, {width}, {gains});
  }
  expect.optional("sink", in.sink, {o.heads}, {gains});
  expect.that(!in.sink.defined() || o.score.kind == kernels::WeightRule::kSoftmax,
              "takes a sink with softmax only: it is an entry of a distribution");
  expect.that(in.cos.defined() == in.sin.defined(), "takes cosines and sines, or neither");
  for (const auto& [name, table] : {std::pair{"cos", in.cos}, std::pair{"sin", in.sin}}) {
    if (!table.defined()) continue;
    if (kernels) expect.tensor(name, table, {kAny, width / 2}, {at::kFloat});
    else expect.tensor(name, table, {kAny, width / 2}, {at::kFloat, at::kDouble});
    expect.contiguous(name, table);
    expect.that(width % 2 == 0 && table.size(0) >= std::max(queries, keys),
                "rotation needs an even width of heads and a row of cos and sin for every position");
  }
  for (const auto& [name, lengths, most] : {std::tuple{"query_lengths", in.query_lengths, queries},
                                            std::tuple{"key_lengths", in.key_lengths, keys}}) {
    if (!lengths.defined()) continue;
    expect.tensor(name, lengths, {o.batch}, {at::kLong});
    expect.contiguous(name, lengths);
    if (!lengths.is_cpu()) continue;
    const auto* n = lengths.data_ptr<std::int64_t>();
    expect.that(std::all_of(n, n + o.batch, [m = most](std::int64_t one) { return 0 <= one && one <= m; }),
                "lengths must lie between 0 and the number of tokens");
  }
}

/// One of the parts side by side in x: [B, T, H, K].
at::Tensor heads_of(const at::Tensor& x, std::int64_t part, std::int64_t width, const AttentionOptions& o) {
  return x.narrow(1, part * width, width).reshape({o.batch, x.size(0) / o.batch, o.heads, width / o.heads});
}

/// Norm, rotation: [B, T, H, K] -> [B H, T, K].
at::Tensor transformed(const at::Tensor& x, const at::Tensor& gain, const AttentionInputs& in,
                       const AttentionOptions& o) {
  at::Tensor y = x;
  if (gain.defined()) {
    if (o.whole) y = layer_norm_plain(x.flatten(2), gain.flatten(), {}, o.eps).view(x.sizes());
    else y = layer_norm_plain(x, {}, {}, o.eps) * gain;
  }
  if (in.cos.defined()) y = rotary(y, in.cos.to(y.scalar_type()), in.sin.to(y.scalar_type()));
  else y = y.transpose(1, 2);
  return y.reshape({x.size(0) * x.size(2), x.size(1), x.size(3)});
}

/// True for the tokens of each sequence that are not padding: [B, n].
at::Tensor tokens(const at::Tensor& lengths, std::int64_t batch, std::int64_t n, at::Device device) {
  const at::Tensor i = at::arange(n, at::TensorOptions(at::kLong).device(device));
  return (lengths.defined() ? i < lengths.view({batch, 1}) : i >= 0).expand({batch, n});
}

/// True where query i of a sequence sees key j: [B, 1, T, S].
at::Tensor visible(const AttentionInputs& in, const AttentionOptions& o, std::int64_t queries,
                   std::int64_t keys) {
  const at::Tensor all = tokens(in.key_lengths, o.batch, keys, in.x.device())
                             .view({o.batch, 1, 1, keys})
                             .expand({o.batch, 1, queries, keys});
  return o.causal ? all.tril(keys - queries) : all;
}

at::Tensor scores_reference(const at::Tensor& qk, const kernels::ScoreRule& rule) {
  const at::Tensor z = qk * rule.scale;
  return rule.softcap > 0 ? (z / rule.softcap).tanh() * rule.softcap : z;
}

at::Tensor masked(const at::Tensor& z, const at::Tensor& hidden) {
  return z.masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

/// Softmax of z [B, H, T, S] over the last dimension and the logit sink [H], if there is one, which comes
/// last: [B, H, T, S or S + 1].
at::Tensor softmax_with_sink(const at::Tensor& z, const at::Tensor& sink) {
  if (!sink.defined()) return at::softmax(z, -1);
  const at::Tensor column =
      sink.to(z.scalar_type()).view({1, -1, 1, 1}).expand({z.size(0), z.size(1), z.size(2), 1});
  return at::softmax(at::cat({z, column}, -1), -1);
}

/// max(0, z)^2 / sqrt(T) of z [B, H, T, S], 0 for what nobody sees.
at::Tensor squared_relu(const at::Tensor& z, const at::Tensor& hidden, const AttentionInputs& in,
                        const kernels::ScoreRule& rule) {
  // Hidden scores first: what is not finite there must not reach a product with the upstream gradient.
  const at::Tensor above = z.masked_fill(hidden, 0).clamp_min(0).square();
  if (rule.positions > 0) return above / std::sqrt(rule.positions);
  if (!in.key_lengths.defined()) return above / std::sqrt(static_cast<double>(z.size(3)));
  return above / in.key_lengths.clamp_min(1).to(z.scalar_type()).sqrt().view({-1, 1, 1, 1});
}

/// What statistics are made of: queries [B H, T, K] and keys [B H, S, K], their products, the scores of which
/// weights are made (both [B H, T, S]), and which pairs count.
struct Scores {
  at::Tensor q, k, qk, z, seen;
};

std::vector<kernels::AttentionStats> statistics_of(const Scores& scores, const AttentionInputs& in,
                                                   const AttentionOptions& o) {
  const c10::AutoGradMode no_grad(false);
  const auto per_head = [&](const at::Tensor& x) {
    return x.to(at::kDouble).view({o.batch, o.heads, x.size(1), x.size(2)});
  };
  const at::Tensor q = per_head(scores.q), k = per_head(scores.k), qk = per_head(scores.qk),
                   z = per_head(scores.z);
  const at::Tensor query_tokens = tokens(in.query_lengths, o.batch, q.size(2), q.device()),
                   keys = tokens(in.key_lengths, o.batch, k.size(2), k.device()).unsqueeze(1),
                   pairs = scores.seen.logical_and(query_tokens.unsqueeze(1).unsqueeze(3)),
                   hidden = pairs.logical_not(), n = pairs.sum(3);
  // What does not count is replaced, because a product with zero would let through what is not finite there.
  const auto mean = [](const at::Tensor& x, const at::Tensor& counted) {
    const at::Tensor sum = x.masked_fill(counted.logical_not(), 0).sum(at::IntArrayRef{0, 2});
    return sum / counted.sum().clamp_min(1);
  };
  const auto mean_of_pairs = [&](const at::Tensor& x) { return mean(x.flatten(2), pairs.flatten(2)); };
  const auto largest = [&](const at::Tensor& x) {
    return x.masked_fill(hidden, -std::numeric_limits<double>::infinity()).amax({0, 2, 3});
  };
  const at::Tensor q_norm = q.norm(2, {3}), k_norm = k.norm(2, {3}),
                   norms = q_norm.unsqueeze(3) * k_norm.unsqueeze(2);
  const bool sinks = in.sink.defined(), distribution = o.score.kind == kernels::WeightRule::kSoftmax;
  const at::Tensor a = softmax_with_sink(masked(z, hidden), in.sink), of_keys = a.narrow(3, 0, z.size(3));
  // special_entr is 0 at 0 and NaN at NaN.
  at::Tensor entropy = at::special_entr(of_keys).masked_fill(hidden, 0).sum(3),
             sink_share = at::zeros({o.heads});
  if (sinks) {
    const at::Tensor of_sink = a.select(3, z.size(3));
    entropy = entropy + at::special_entr(of_sink);
    sink_share = mean(of_sink, n > 0);
  }
  const at::Tensor outcomes = n.clamp_min(2) + (sinks ? 1 : 0);
  const at::Tensor logit_max = largest(z), logit_absmax = largest(z.abs()).clamp_min(0),
                   logit_rms = mean_of_pairs(z.square()).sqrt(), entropy_mean = mean(entropy, n > 1),
                   entropy_norm = mean(entropy / outcomes.to(at::kDouble).log(), n > 1),
                   q_norm_mean = mean(q_norm, n > 0), k_norm_mean = mean(k_norm, keys),
                   cosine = mean_of_pairs((qk / norms).masked_fill(norms == 0, 0));
  std::vector<kernels::AttentionStats> all;
  for (std::int64_t h = 0; h < o.heads; ++h) {
    const auto number = [&](const at::Tensor& x) { return x[h].item<double>(); };
    kernels::AttentionStats& s =
        all.emplace_back(kernels::AttentionStats{.logit_max = number(logit_max),
                                                 .logit_absmax = number(logit_absmax),
                                                 .logit_rms = number(logit_rms),
                                                 .entropy = number(entropy_mean),
                                                 .entropy_norm = number(entropy_norm),
                                                 .q_norm = number(q_norm_mean),
                                                 .k_norm = number(k_norm_mean),
                                                 .qk_cosine = number(cosine),
                                                 .sink_share = number(sink_share)});
    if (!distribution) s.entropy = s.entropy_norm = std::numeric_limits<double>::quiet_NaN();
    if (std::isnan(s.logit_rms))
      s.logit_max = s.logit_absmax = s.entropy = s.entropy_norm = s.qk_cosine = s.sink_share = s.logit_rms;
  }
  return all;
}

}  // namespace

at::Tensor attention(const AttentionInputs& in, const AttentionOptions& options,
                     std::vector<kernels::AttentionStats>* stats) {
  if (!has_kernels(in.x.scalar_type())) return attention_reference(in, options, Rounding::kNone, stats);
  check("attention", in, options, true);
  auto setting = c10::make_intrusive<Setting>();
  setting->options = options;
  setting->constants = in;
  setting->constants.x = setting->constants.memory = at::Tensor();
  setting->constants.query_gain = setting->constants.key_gain = setting->constants.sink = at::Tensor();
  if (stats != nullptr) stats->assign(static_cast<std::size_t>(options.heads), {});
  const auto packed = [](const at::Tensor& t) { return optional(t.defined() ? t.contiguous() : t); };
  return FusedAttention::apply(in.x.contiguous(), packed(in.memory), packed(in.query_gain),
                               packed(in.key_gain), packed(in.sink), setting,
                               stats != nullptr ? stats->data() : nullptr);
}

std::pair<at::Tensor, at::Tensor> query_key_reference(const AttentionInputs& in, const AttentionOptions& o) {
  check("query_key_reference", in, o, false);
  const bool cross = in.memory.defined();
  const std::int64_t width = in.x.size(1) / (cross ? 1 : 3);
  return {transformed(heads_of(in.x, 0, width, o), in.query_gain, in, o),
          transformed(heads_of(cross ? in.memory : in.x, cross ? 0 : 1, width, o), in.key_gain, in, o)};
}

at::Tensor attention_reference(const AttentionInputs& in, const AttentionOptions& o, Rounding rounding,
                               std::vector<kernels::AttentionStats>* stats) {
  check("attention_reference", in, o, false);
  const bool cross = in.memory.defined();
  const at::Tensor keys_values = cross ? in.memory : in.x;
  const std::int64_t queries = in.x.size(0) / o.batch, keys = keys_values.size(0) / o.batch,
                     width = in.x.size(1) / (cross ? 1 : 3), head = width / o.heads;
  const auto [q, k] = query_key_reference(in, o);
  const at::Tensor v =
      heads_of(keys_values, cross ? 1 : 2, width, o).transpose(1, 2).reshape({o.batch * o.heads, keys, head});
  const at::Tensor qk = batched_product(q, k.transpose(1, 2), rounding), seen = visible(in, o, queries, keys);
  const at::Tensor z = scores_reference(qk, o.score);
  if (stats != nullptr) *stats = statistics_of({q, k, qk, z, seen}, in, o);
  const at::Tensor by_head = z.view({o.batch, o.heads, queries, keys}), hidden = seen.logical_not();
  at::Tensor a;
  if (o.score.kind == kernels::WeightRule::kSquaredRelu) {
    a = squared_relu(by_head, hidden, in, o.score).reshape(z.sizes());
  } else {
    a = softmax_with_sink(masked(by_head, hidden), in.sink).narrow(3, 0, keys);
    // A query that sees nothing gives nothing.
    a = a.masked_fill(seen.any(-1, true).logical_not(), 0).reshape(z.sizes());
  }
  if (o.dropout.on()) a = a * dropout_mask(a, o.dropout);
  return batched_product(a, v, rounding)
      .view({o.batch, o.heads, queries, head})
      .transpose(1, 2)
      .reshape({o.batch * queries, width});
}

}  // namespace evenkeel::ops
