#include "evenkeel/curvature/hessian.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace evenkeel::curvature {

Hessian::Hessian(models::Model& model, const models::Batch& batch, const nn::Context& context) {
  const c10::AutoGradMode with_grad(true);
  for (const nn::Param* param : model.parameters()) {
    if (!param->trainable) continue;
    parameters_.push_back(param->value);
    size_ += param->value.numel();
  }
  const at::Tensor loss = model.loss(model.forward(batch, context), batch, model.objective, context).total;
  loss_ = loss.item<double>();
  gradient_ = torch::autograd::grad({loss}, parameters_, {}, true, true, true);
}

at::Tensor Hessian::times(const at::Tensor& v) const {
  const c10::AutoGradMode with_grad(true);
  std::vector<at::Tensor> outputs, along;
  std::int64_t at = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor part = v.narrow(0, at, parameters_[i].numel()).view(parameters_[i].sizes());
    at += parameters_[i].numel();
    // A gradient that is constant has no second derivative.
    if (!gradient_[i].defined() || !gradient_[i].requires_grad()) continue;
    outputs.push_back(gradient_[i]);
    along.push_back(part);
  }
  std::vector<at::Tensor> product = torch::autograd::grad(outputs, parameters_, along, true, false, true);
  for (std::size_t i = 0; i < product.size(); ++i)
    product[i] = (product[i].defined() ? product[i] : at::zeros_like(parameters_[i])).detach().flatten();
  return at::cat(product);
}

}  // namespace evenkeel::curvature
