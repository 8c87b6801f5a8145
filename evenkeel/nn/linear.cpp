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
  if (context.fused()) {
    ops::LinearWeights weights{{weight.value}, {}};
    if (bias != nullptr) weights.biases = {bias->value};
    return ops::fused_linear(x, weights);
  }
  return ops::linear(x, weight.value, bias != nullptr ? bias->value : at::Tensor(), context.rounding());
}

std::vector<OpUse> Linear::op_uses(const Context& context) const {
  return {context.use("linear", weight.value.scalar_type())};
}

}  // namespace evenkeel::nn
