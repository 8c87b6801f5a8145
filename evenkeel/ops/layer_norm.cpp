#include "evenkeel/ops/layer_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/rsqrt.h>

namespace evenkeel::ops {

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  const auto optional = [](const at::Tensor& t) {
    return t.defined() ? c10::optional<at::Tensor>(t) : c10::nullopt;
  };
  return std::get<0>(at::native_layer_norm(x, {x.size(-1)}, optional(gain), optional(bias), eps));
}

at::Tensor layer_norm_plain(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  const at::Tensor centred = x - x.mean({-1}, true);
  at::Tensor y = centred * (centred * centred).mean({-1}, true).add(eps).rsqrt();
  if (gain.defined()) y = y * gain;
  return bias.defined() ? y + bias : y;
}

at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  at::Tensor y = x * (x * x).mean({-1}, true).add(eps).rsqrt();
  if (gain.defined()) y = y * gain;
  return bias.defined() ? y + bias : y;
}

}  // namespace evenkeel::ops
