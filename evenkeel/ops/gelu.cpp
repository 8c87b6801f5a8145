#include "evenkeel/ops/gelu.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>

#include "evenkeel/kernels/gelu.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    at::Tensor y = at::empty_like(x);
    kernels::gelu_forward(x.data_ptr<float>(), y.data_ptr<float>(), x.numel());
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor dy = upstream[0].contiguous();
    at::Tensor dx = at::empty_like(x);
    kernels::gelu_backward(x.data_ptr<float>(), dy.data_ptr<float>(), dx.data_ptr<float>(), x.numel());
    return {dx};
  }
};

}  // namespace

at::Tensor gelu(const at::Tensor& x) {
  if (x.scalar_type() == at::kFloat && x.is_cpu() && x.is_contiguous()) return Gelu::apply(x);
  return gelu_plain(x);
}

at::Tensor gelu_plain(const at::Tensor& x) {
  const double root = std::sqrt(2 / std::numbers::pi);
  return x * 0.5 * ((x + x * x * x * 0.044715) * root).tanh().add(1);
}

}  // namespace evenkeel::ops
