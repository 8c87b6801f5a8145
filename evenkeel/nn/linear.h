// y = x W^T + b, W [out, in].
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"

namespace evenkeel::nn {

class Linear : public Module {
 public:
  /// Weight: truncated normal with std 1 / sqrt(in); bias: zeros.
  Linear(std::int64_t in, std::int64_t out, bool bias, Role role = Role::kMatrix);
  /// x [N, in] -> [N, out], in the dtype of x. On the plain path the product itself is in context.precision;
  /// the fused path goes by the dtype of x.
  at::Tensor forward(const at::Tensor& x, const Context& context) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  Param& weight;
  Param* bias = nullptr;  ///< null without bias
};

}  // namespace evenkeel::nn
