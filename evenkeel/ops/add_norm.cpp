#include "evenkeel/ops/add_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <torch/csrc/autograd/custom_function.h>

#include "evenkeel/ops/dropout.h"
#include "evenkeel/ops/expect.h"
#include "evenkeel/ops/layer_norm.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What stays the same between the forward and the backward pass.
struct Settings {
  NormSpec norm;
  Dropout dropout;
  at::ScalarType f_type, y_type;
};

template <class T>
T* pointer(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.data_ptr()) : nullptr;
}

/// Calls body(F{}, Y{}) with the storage types of two dtypes.
template <class Body>
void with_types(at::ScalarType f, at::ScalarType y, const Body& body) {
  using kernels::bf16;
  const auto with_f = [&](auto one) {
    if (y == at::kBFloat16) body(one, bf16{});
    else body(one, float{});
  };
  if (f == at::kBFloat16) with_f(bf16{});
  else with_f(float{});
}

void fill_common(kernels::AddNormCommon& a, const at::Tensor& x, const at::Tensor& omega,
                 const at::Tensor& gain, const Settings& s) {
  a.rows = x.size(0);
  a.width = x.size(1);
  a.omega = pointer<float>(omega);
  a.omega_per_channel = omega.defined() && omega.numel() == a.width;
  a.dropout = s.dropout;
  a.norm = s.norm.kind;
  a.gain = pointer<float>(gain);
}

enum Slot : std::size_t { kX, kF, kFBias, kOmega, kGain, kNormBias, kInputs };

struct AddNorm : torch::autograd::Function<AddNorm> {
  using Optional = c10::optional<at::Tensor>;  // an undefined tensor is no argument of a Function

  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const Optional& f_or_none,
                               const Optional& f_bias_or_none, const Optional& omega_or_none,
                               const Optional& gain_or_none, const Optional& norm_bias_or_none,
                               const Settings& s, double* sum_squares) {
    const at::Tensor f = f_or_none.value_or(at::Tensor()), f_bias = f_bias_or_none.value_or(at::Tensor()),
                     omega = omega_or_none.value_or(at::Tensor()), gain = gain_or_none.value_or(at::Tensor()),
                     norm_bias = norm_bias_or_none.value_or(at::Tensor());
    const bool has_norm = s.norm.kind != NormKind::kNone;
    const at::TensorOptions row = x.options();
    at::Tensor sum = f.defined() ? at::empty_like(x) : x, y, mean, inverse;
    if (has_norm) {
      y = at::empty(x.sizes(), row.dtype(s.y_type));
      inverse = at::empty({x.size(0)}, row);
      if (s.norm.kind == NormKind::kLayerNorm) mean = at::empty({x.size(0)}, row);
    }
    with_types(s.f_type, s.y_type, [&](auto f_tag, auto y_tag) {
      kernels::AddNormForward<decltype(f_tag), decltype(y_tag)> a;
      fill_common(a, x, omega, gain, s);
      a.x = pointer<float>(x);
      a.f = pointer<decltype(f_tag)>(f);
      a.f_bias = pointer<float>(f_bias);
      a.eps = static_cast<float>(s.norm.eps);
      a.norm_bias = pointer<float>(norm_bias);
      a.sum = f.defined() ? pointer<float>(sum) : nullptr;
      a.y = pointer<decltype(y_tag)>(y);
      a.mean = pointer<float>(mean);
      a.inverse = pointer<float>(inverse);
      *sum_squares = kernels::add_norm_forward(a);
    });
    const bool omega_learns = omega.defined() && omega.requires_grad();
    ctx->save_for_backward(
        {omega_learns ? x : at::Tensor(), has_norm ? sum : at::Tensor(), mean, inverse, omega, gain});
    ctx->saved_data["norm"] = static_cast<std::int64_t>(s.norm.kind);
    ctx->saved_data["p"] = s.dropout.p;
    ctx->saved_data["seed"] = static_cast<std::int64_t>(s.dropout.seed);
    ctx->saved_data["stream"] = static_cast<std::int64_t>(s.dropout.stream);
    ctx->saved_data["step"] = s.dropout.step;
    ctx->saved_data["f_type"] = static_cast<std::int64_t>(s.f_type);
    ctx->saved_data["y_type"] = static_cast<std::int64_t>(s.y_type);
    const at::Tensor* const inputs[kInputs] = {&x, &f, &f_bias, &omega, &gain, &norm_bias};
    std::int64_t wanted = 0;
    for (std::size_t i = 0; i < kInputs; ++i)
      if (inputs[i]->defined() && inputs[i]->requires_grad()) wanted |= std::int64_t{1} << i;
    ctx->saved_data["wanted"] = wanted;
    ctx->set_materialize_grads(false);
    return has_norm ? variable_list{sum, y} : variable_list{sum};
  }

  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    variable_list gradients(kInputs + 2);
    const bool has_norm = upstream.size() > 1;
    const at::Tensor d_sum = upstream[0].defined() ? upstream[0].contiguous() : at::Tensor();
    const at::Tensor dy = has_norm && upstream[1].defined() ? upstream[1].contiguous() : at::Tensor();
    if (!d_sum.defined() && !dy.defined()) return gradients;
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &sum = saved[1], &mean = saved[2], &inverse = saved[3], &omega = saved[4],
                     &gain = saved[5];
    Settings s;
    s.norm.kind = static_cast<NormKind>(ctx->saved_data["norm"].toInt());
    s.dropout.p = ctx->saved_data["p"].toDouble();
    s.dropout.seed = static_cast<std::uint64_t>(ctx->saved_data["seed"].toInt());
    s.dropout.stream = static_cast<std::uint64_t>(ctx->saved_data["stream"].toInt());
    s.dropout.step = ctx->saved_data["step"].toInt();
    s.f_type = static_cast<at::ScalarType>(ctx->saved_data["f_type"].toInt());
    s.y_type = static_cast<at::ScalarType>(ctx->saved_data["y_type"].toInt());
    const std::int64_t wanted = ctx->saved_data["wanted"].toInt();
    const at::Tensor& like = d_sum.defined() ? d_sum : dy;
    const at::TensorOptions fp32 = like.options().dtype(at::kFloat);
    const auto want = [&](Slot slot, at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
      if ((wanted >> slot & 1) != 0) gradients[slot] = at::empty(sizes, fp32.dtype(type));
    };
    const std::int64_t width = like.size(1);
    want(kX, like.sizes());
    want(kF, like.sizes(), s.f_type);
    want(kFBias, {width});
    if (omega.defined()) want(kOmega, omega.sizes());
    want(kGain, {width});
    want(kNormBias, {width});
    with_types(s.f_type, s.y_type, [&](auto f_tag, auto y_tag) {
      kernels::AddNormBackward<decltype(f_tag), decltype(y_tag)> a;
      fill_common(a, like, omega, gain, s);
      a.x = pointer<float>(x);
      a.sum = pointer<float>(sum);
      a.mean = pointer<float>(mean);
      a.inverse = pointer<float>(inverse);
      a.d_sum = pointer<float>(d_sum);
      a.dy = pointer<decltype(y_tag)>(dy);
      a.dx = pointer<float>(gradients[kX]);
      a.df = pointer<decltype(f_tag)>(gradients[kF]);
      a.d_f_bias = pointer<float>(gradients[kFBias]);
      a.d_omega = pointer<float>(gradients[kOmega]);
      a.d_gain = pointer<float>(gradients[kGain]);
      a.d_norm_bias = pointer<float>(gradients[kNormBias]);
      kernels::add_norm_backward(a);
    });
    return gradients;
  }
};

void check(const char* op, const AddNormInputs& in, at::ScalarType y_type) {
  const Expect expect(op);
  expect.tensor("x", in.x, {kAny, kAny}, {at::kFloat, at::kDouble});
  const at::ScalarType type = in.x.scalar_type();
  const std::int64_t rows = in.x.size(0), width = in.x.size(1);
  expect.optional("f", in.f, {rows, width}, {at::kFloat, at::kBFloat16, type});
  expect.that(in.f.defined() || (!in.f_bias.defined() && !in.omega.defined()),
              "takes f_bias and omega with f only");
  expect.optional("f_bias", in.f_bias, {width}, {type});
  if (in.omega.defined() && in.omega.dim() == 0) expect.tensor("omega", in.omega, {}, {type});
  else expect.optional("omega", in.omega, {in.omega.numel() == 1 ? 1 : width}, {type});
  expect.optional("gain", in.gain, {width}, {type});
  expect.optional("norm_bias", in.norm_bias, {width}, {type});
  expect.that(y_type == at::kFloat || y_type == at::kBFloat16 || y_type == type,
              "y_type must be Float or BFloat16");
}

c10::optional<at::Tensor> packed(const at::Tensor& t) {
  return t.defined() ? c10::optional<at::Tensor>(t.contiguous()) : c10::nullopt;
}

}  // namespace

AddNormResult add_norm(const AddNormInputs& in, const NormSpec& norm, const Dropout& dropout,
                       at::ScalarType y_type) {
  check("add_norm", in, y_type);
  if (in.x.scalar_type() != at::kFloat) return add_norm_plain(in, norm, dropout, y_type);
  Settings s{norm, dropout, in.f.defined() ? in.f.scalar_type() : at::kFloat, y_type};
  if (!in.f.defined()) s.dropout = {};
  AddNormResult result;
  const variable_list out =
      AddNorm::apply(in.x.contiguous(), packed(in.f), packed(in.f_bias), packed(in.omega), packed(in.gain),
                     packed(in.norm_bias), s, &result.sum_squares);
  result.x = out[0];
  if (out.size() > 1) result.y = out[1];
  return result;
}

AddNormResult add_norm_plain(const AddNormInputs& in, const NormSpec& norm, const Dropout& dropout,
                             at::ScalarType y_type) {
  check("add_norm_plain", in, y_type);
  AddNormResult result{in.x, {}, 0};
  if (in.f.defined()) {
    at::Tensor f = in.f.to(in.x.scalar_type());
    if (in.f_bias.defined()) f = f + in.f_bias;
    if (dropout.on()) f = f * dropout_mask(f, dropout);
    result.x = in.omega.defined() ? in.omega * in.x + f : in.x + f;
  }
  result.sum_squares = sum_squares(result.x);
  const at::Tensor& x = result.x;
  if (norm.kind == NormKind::kNone) return result;
  if (norm.kind == NormKind::kLayerNorm) {
    result.y = layer_norm_plain(x, in.gain, in.norm_bias, norm.eps);
  } else {
    result.y = rms_norm_plain(x, in.gain, in.norm_bias, norm.eps);
  }
  // In double everything stays in double, whatever the fast form would store.
  if (x.scalar_type() != at::kDouble) result.y = result.y.to(y_type);
  return result;
}

}  // namespace evenkeel::ops
