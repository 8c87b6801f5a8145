#include "evenkeel/nn/norm.h"

#include "evenkeel/ops/layer_norm.h"

namespace evenkeel::nn {

LayerNorm::LayerNorm(std::int64_t width, double eps, bool with_bias)
    : gain(add_param("gain", {width}, Role::kGain, Init::kOnes)), eps_(eps) {
  if (with_bias) bias = &add_param("bias", {width}, Role::kBias, Init::kZeros);
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return ops::layer_norm(x, gain.value, bias != nullptr ? bias->value : at::Tensor(), eps_);
}

}  // namespace evenkeel::nn
