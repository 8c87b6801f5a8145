#include "evenkeel/nn/dropout.h"

#include <ATen/TensorOperators.h>

#include "evenkeel/ops/dropout.h"

namespace evenkeel::nn {

at::Tensor Dropout::forward(const at::Tensor& x, const Context& context) const {
  const kernels::Dropout dropout = at(context);
  return dropout.on() ? x * ops::dropout_mask(x, dropout) : x;
}

kernels::Dropout Dropout::at(const Context& context) const {
  if (!context.training || p_ == 0) return {};
  return ops::dropout_at(p_, context.seed, "dropout/" + path(), context.step);
}

}  // namespace evenkeel::nn
