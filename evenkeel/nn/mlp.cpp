#include "evenkeel/nn/mlp.h"

#include <ATen/TensorOperators.h>

#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/matmul.h"

namespace evenkeel::nn {
namespace {

ops::Activation kind_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return ops::Activation::kGeluErf;
    case ActivationKind::kRelu:
      return ops::Activation::kRelu;
    default:
      return ops::Activation::kGeluTanh;
  }
}

}  // namespace

Mlp::Mlp(const MlpShape& shape)
    : fc1(add_child("fc1", std::make_unique<Linear>(shape.width, shape.hidden, shape.bias))),
      fc2(add_child("fc2", std::make_unique<Linear>(shape.hidden, shape.width, shape.bias))),
      shape_(shape) {
  if (shape.dropout > 0) dropout_ = &add_child("dropout", std::make_unique<Dropout>(shape.dropout));
}

at::Tensor Mlp::forward(const at::Tensor& x, const Context& context) const {
  const ops::Activation activation = kind_of(shape_.activation);
  const std::vector<at::Tensor> matrices = weights_in_use({&fc1, &fc2}, context);
  ops::MlpWeights w{matrices[0], fc1.bias_in_use(matrices[0]), matrices[1], fc2.bias_in_use(matrices[1]),
                    activation};
  if (shift_ != nullptr)
    w.b1 = w.b1.defined() ? w.b1 + shift_->value : shift_->value.expand({shape_.hidden}).contiguous();
  const bool drops = dropout_ != nullptr && dropout_->at(context).on();
  if (context.fused() && inner_norm_ == nullptr && !drops) return ops::fused_mlp(x, w);
  const auto product = [&](const at::Tensor& in, const at::Tensor& weight, const at::Tensor& bias) {
    if (!context.fused()) return ops::linear(in, weight, bias, context.rounding());
    return ops::fused_linear(in, {{weight}, bias.defined() ? std::vector{bias} : std::vector<at::Tensor>{}});
  };
  at::Tensor hidden = product(x, w.w1, w.b1);
  if (context.fused() && hidden.scalar_type() == at::kBFloat16) hidden = hidden.to(at::kFloat);
  hidden = ops::activation(hidden, activation);
  if (drops) hidden = dropout_->forward(hidden, context);
  if (inner_norm_ != nullptr) hidden = inner_norm_->forward(hidden, context);
  else if (context.fused()) hidden = hidden.to(x.scalar_type());
  return product(hidden, w.w2, w.b2);
}

void Mlp::set_inner_norm(std::unique_ptr<Norm> norm) {
  require_free("the inputs of " + path() + ".fc2", inner_norm_ != nullptr ? "inner_norm" : "", "inner_norm");
  inner_norm_ = &add_child("inner_norm", std::move(norm));
}

void Mlp::add_shifts() {
  fc1.add_shift();
  fc2.add_shift();
  shift_ = &add_param("shift", {1}, Role::kBias, Init::kZeros);
}

std::vector<OpUse> Mlp::op_uses(const Context& context) const {
  OpUse use = context.use("mlp", fc1.weight.value.scalar_type());
  if (inner_norm_ != nullptr && use.path == OpPath::kFused)
    use = {use.op, OpPath::kPlain,
           "a norm before the second matrix: products and norm have kernels, the activation none", true};
  if (dropout_ != nullptr && use.path == OpPath::kFused)
    use = {use.op, OpPath::kPlain,
           "dropout between activation and second matrix: products have kernels, the rest none", true};
  return {use};
}

}  // namespace evenkeel::nn
