#include "evenkeel/nn/linear.h"

#include <cmath>

#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/matmul.h"

namespace evenkeel::nn {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias, Role role)
    : weight(add_param("weight", {out, in}, role, Init::kTruncatedNormal,
                       1 / std::sqrt(static_cast<double>(in)))) {
  if (with_bias) bias = &add_param("bias", {out}, Role::kBias, Init::kZeros);
}

at::Tensor Linear::forward(const at::Tensor& x, const Context& context) const {
  const at::Tensor in_use = weights_in_use({this}, context)[0];
  if (context.fused()) {
    ops::LinearWeights weights{{in_use}, {}};
    if (bias != nullptr) weights.biases = {bias->value};
    return ops::fused_linear(x, weights);
  }
  return ops::linear(x, in_use, bias != nullptr ? bias->value : at::Tensor(), context.rounding());
}

void Linear::set_weight_transform(const std::string& name, std::unique_ptr<WeightTransform> transform) {
  weight_transform_ = &add_child(name, std::move(transform));
}

std::vector<OpUse> Linear::op_uses(const Context& context) const {
  return {context.use("linear", weight.value.scalar_type())};
}

}  // namespace evenkeel::nn
