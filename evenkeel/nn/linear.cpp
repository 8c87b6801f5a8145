#include "evenkeel/nn/linear.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/matmul.h"

namespace evenkeel::nn {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias, Role role)
    : weight(add_param("weight", {out, in}, role, Init::kTruncatedNormal,
                       1 / std::sqrt(static_cast<double>(in)))) {
  if (with_bias) bias = &add_param("bias", {out}, Role::kBias, Init::kZeros);
}

Linear::Linear(Param& shared) : weight(shared) {}

at::Tensor Linear::forward(const at::Tensor& x, const Context& context) const {
  const at::Tensor in_use = weights_in_use({this}, context)[0];
  const at::Tensor added = bias_in_use(in_use);
  if (context.fused()) {
    ops::LinearWeights weights{{in_use}, {}};
    if (added.defined()) weights.biases = {added};
    return ops::fused_linear(x, weights);
  }
  return ops::linear(x, in_use, added, context.rounding());
}

at::Tensor Linear::bias_in_use(const at::Tensor& in_use) const {
  const at::Tensor own = bias != nullptr ? bias->value : at::Tensor();
  if (shift_ == nullptr) return own;
  const at::Tensor shifted = in_use.sum(1) * shift_->value;
  return own.defined() ? own + shifted : shifted;
}

void Linear::draw_by(MatrixInit init, double gain) {
  if (init == MatrixInit::kXavier) {
    weight.init = Init::kUniform;
    weight.init_std = std::sqrt(2 / static_cast<double>(weight.fan_in + weight.fan_out));
  }
  weight.init_std *= gain;
  if (gain == 0) weight.init = Init::kZeros;
}

void Linear::add_shift() {
  require_free("the inputs of " + path(), shift_ != nullptr ? "shift" : "", "shift");
  shift_ = &add_param("shift", {1}, Role::kBias, Init::kZeros);
}

void Linear::require_no_weight_transform(const std::string& newcomer) const {
  require_free("the weights of " + path(), weight_transform_name_, newcomer);
}

void Linear::set_weight_transform(const std::string& name, std::unique_ptr<WeightTransform> transform) {
  require_no_weight_transform(name);
  set_weight_transform(name, add_child(name, std::move(transform)));
}

void Linear::set_weight_transform(const std::string& name, WeightTransform& transform) {
  require_no_weight_transform(name);
  weight_transform_ = &transform;
  weight_transform_name_ = name;
}

std::vector<OpUse> Linear::op_uses(const Context& context) const {
  std::vector<OpUse> uses{context.use("linear", weight.value.scalar_type())};
  if (shift_ != nullptr)
    uses.push_back({"shift", OpPath::kPlain, "a sum over each row of the matrix", false});
  return uses;
}

}  // namespace evenkeel::nn
