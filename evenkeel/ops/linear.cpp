#include "evenkeel/ops/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include "evenkeel/ops/expect.h"
#include "evenkeel/ops/storage.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = c10::optional<at::Tensor>;

/// The rows of several matrices [out_i, k], which must be contiguous.
template <class Pointer>
std::vector<Pointer> rows_of(const variable_list& matrices) {
  std::vector<Pointer> rows;
  for (const at::Tensor& m : matrices) {
    if (!m.defined()) continue;
    float* first = m.data_ptr<float>();
    for (std::int64_t i = 0; i < m.size(0); ++i) rows.push_back(first + i * m.size(1));
  }
  return rows;
}

at::Tensor like(const at::Tensor& x, at::IntArrayRef sizes) {
  return at::empty(sizes, x.options());
}
at::Tensor fp32(const at::Tensor& x, at::IntArrayRef sizes) {
  return at::empty(sizes, x.options().dtype(at::kFloat));
}

/// The gradient of x W^T with respect to W [n, k], where it is wanted.
variable_list weight_gradients(const at::Tensor& dy, const at::Tensor& x, const variable_list& matrices) {
  variable_list gradients;
  for (const at::Tensor& m : matrices) gradients.push_back(m.defined() ? fp32(x, m.sizes()) : at::Tensor());
  with_storage(x.scalar_type(), [&](auto tag) {
    using T = decltype(tag);
    kernels::linear_backward_weight<T>(values<T>(dy), values<T>(x), x.size(0), x.size(1),
                                       rows_of<float*>(gradients));
  });
  return gradients;
}

at::Tensor bias_gradient(const at::Tensor& dy) {
  at::Tensor gradient = fp32(dy, {dy.size(1)});
  with_storage(dy.scalar_type(), [&](auto tag) {
    using T = decltype(tag);
    kernels::sum_rows<T>(values<T>(dy), dy.size(0), dy.size(1), gradient.data_ptr<float>());
  });
  return gradient;
}

struct FusedLinear : torch::autograd::Function<FusedLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w0,
                            const Optional& w1, const Optional& w2, const Optional& bias) {
    const variable_list weights{w0, tensor_or_none(w1), tensor_or_none(w2)};
    const kernels::WeightRows rows = rows_of<const float*>(weights);
    at::Tensor y = like(x, {x.size(0), static_cast<std::int64_t>(rows.size())});
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      kernels::linear_forward<T>(values<T>(x), x.size(0), x.size(1), rows,
                                 values<float>(tensor_or_none(bias)), values<T>(y));
    });
    ctx->save_for_backward({x, weights[0], weights[1], weights[2]});
    ctx->saved_data["x"] = x.requires_grad();
    ctx->saved_data["bias"] = bias.has_value() && bias->requires_grad();
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], dy = upstream[0].contiguous();
    const variable_list weights{saved[1], saved[2], saved[3]};
    at::Tensor dx, db;
    if (ctx->saved_data["x"].toBool()) {
      dx = like(x, x.sizes());
      with_storage(x.scalar_type(), [&](auto tag) {
        using T = decltype(tag);
        kernels::linear_backward_input<T>(values<T>(dy), x.size(0), x.size(1), rows_of<const float*>(weights),
                                          values<T>(dx));
      });
    }
    const variable_list dw = weight_gradients(dy, x, weights);
    if (ctx->saved_data["bias"].toBool()) db = bias_gradient(dy);
    return {dx, dw[0], dw[1], dw[2], db};
  }
};

kernels::Mlp mlp_of(const at::Tensor& x, const at::Tensor& w1, const at::Tensor& w2, Activation activation) {
  kernels::Mlp mlp;
  mlp.rows = x.size(0);
  mlp.width = x.size(1);
  mlp.hidden = w1.size(0);
  mlp.activation = activation;
  mlp.w1 = rows_of<const float*>({w1});
  mlp.w2 = rows_of<const float*>({w2});
  return mlp;
}

struct FusedMlp : torch::autograd::Function<FusedMlp> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w1,
                            const Optional& b1, const at::Tensor& w2, const Optional& b2,
                            Activation activation, bool keep) {
    kernels::Mlp mlp = mlp_of(x, w1, w2, activation);
    mlp.bias1 = values<float>(tensor_or_none(b1));
    mlp.bias2 = values<float>(tensor_or_none(b2));
    at::Tensor y = like(x, x.sizes()), pre = keep ? like(x, {mlp.rows, mlp.hidden}) : at::Tensor();
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      kernels::mlp_forward<T>(mlp, values<T>(x), values<T>(pre), values<T>(y));
    });
    ctx->save_for_backward({x, w1, w2, pre});
    ctx->saved_data["activation"] = static_cast<std::int64_t>(activation);
    ctx->saved_data["b1"] = b1.has_value();
    ctx->saved_data["b2"] = b2.has_value();
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w1 = saved[1], &w2 = saved[2], &pre = saved[3];
    const at::Tensor dy = upstream[0].contiguous();
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    const kernels::Mlp mlp = mlp_of(x, w1, w2, activation);
    // `pre` becomes its own gradient: nobody else holds it. A second backward pass, for which the graph has
    // to be retained, finds its new version and throws.
    torch::autograd::impl::bump_version(pre);
    at::Tensor act = like(x, pre.sizes()), dx = like(x, x.sizes());
    with_storage(x.scalar_type(), [&](auto tag) {
      using T = decltype(tag);
      kernels::mlp_backward<T>(mlp, values<T>(dy), values<T>(pre), values<T>(act), values<T>(dx));
    });
    const at::Tensor dw2 = weight_gradients(dy, act, {w2})[0], dw1 = weight_gradients(pre, x, {w1})[0];
    return {dx,
            dw1,
            ctx->saved_data["b1"].toBool() ? bias_gradient(pre) : at::Tensor(),
            dw2,
            ctx->saved_data["b2"].toBool() ? bias_gradient(dy) : at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor side_by_side(const std::vector<at::Tensor>& biases) {
  if (biases.empty()) return {};
  return biases.size() == 1 ? biases[0].contiguous() : at::cat(biases);
}

void check_linear(const char* op, const at::Tensor& x, const LinearWeights& in) {
  const Expect expect(op);
  const at::ScalarType type = parameter_type(x.scalar_type());
  expect.tensor("x", x, {kAny, kAny}, {at::kFloat, at::kBFloat16, at::kDouble});
  expect.that(in.weights.size() >= 1 && in.weights.size() <= 3, "takes one to three matrices");
  expect.that(in.biases.empty() || in.biases.size() == in.weights.size(),
              "takes a bias for each matrix or for none");
  for (std::size_t i = 0; i < in.weights.size(); ++i) {
    expect.tensor("weight", in.weights[i], {kAny, x.size(1)}, {type});
    if (!in.biases.empty()) expect.tensor("bias", in.biases[i], {in.weights[i].size(0)}, {type});
  }
}

void check_mlp(const char* op, const at::Tensor& x, const MlpWeights& in) {
  const Expect expect(op);
  const at::ScalarType type = parameter_type(x.scalar_type());
  expect.tensor("x", x, {kAny, kAny}, {at::kFloat, at::kBFloat16, at::kDouble});
  const std::int64_t width = x.size(1);
  expect.tensor("w1", in.w1, {kAny, width}, {type});
  const std::int64_t hidden = in.w1.size(0);
  expect.optional("b1", in.b1, {hidden}, {type});
  expect.tensor("w2", in.w2, {width, hidden}, {type});
  expect.optional("b2", in.b2, {width}, {type});
  for (const auto& [name, bias] : {std::pair{"b1", in.b1}, std::pair{"b2", in.b2}})
    expect.contiguous(name, bias);
}

/// In bf16: what the kernels compute, from inputs rounded alike.
at::Tensor product_plain(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor w = weight.to(x.scalar_type()).t();
  const at::Tensor y = at::mm(x, w);
  return bias.defined() ? (y + bias).to(x.scalar_type()) : y;
}

}  // namespace

at::Tensor fused_linear(const at::Tensor& x, const LinearWeights& in) {
  check_linear("fused_linear", x, in);
  if (!has_kernels(x.scalar_type())) return fused_linear_plain(x, in);
  const auto weight = [&](std::size_t i) {
    return i < in.weights.size() ? in.weights[i].contiguous() : at::Tensor();
  };
  return FusedLinear::apply(x.contiguous(), weight(0), optional(weight(1)), optional(weight(2)),
                            optional(side_by_side(in.biases)));
}

at::Tensor fused_linear_plain(const at::Tensor& x, const LinearWeights& in) {
  check_linear("fused_linear_plain", x, in);
  return product_plain(x, in.weights.size() == 1 ? in.weights[0] : at::cat(in.weights),
                       side_by_side(in.biases));
}

at::Tensor fused_mlp(const at::Tensor& x, const MlpWeights& in) {
  check_mlp("fused_mlp", x, in);
  if (!has_kernels(x.scalar_type())) return fused_mlp_plain(x, in);
  const auto trained = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
  const bool keep = at::GradMode::is_enabled() &&
                    (trained(x) || trained(in.w1) || trained(in.w2) || trained(in.b1) || trained(in.b2));
  return FusedMlp::apply(x.contiguous(), in.w1.contiguous(), optional(in.b1), in.w2.contiguous(),
                         optional(in.b2), in.activation, keep);
}

at::Tensor fused_mlp_plain(const at::Tensor& x, const MlpWeights& in) {
  check_mlp("fused_mlp_plain", x, in);
  return product_plain(activation(product_plain(x, in.w1, in.b1), in.activation), in.w2, in.b2);
}

}  // namespace evenkeel::ops
