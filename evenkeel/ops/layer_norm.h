// Norms over the last dimension, from elementary operations or the library's:
//
//   LayerNorm: y = g (x - mean) / sqrt(var + eps) + b, var the biased variance
//   RMSNorm:   y = g x / sqrt(mean of x^2 + eps) + b
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

/// x [..., n]; gain and bias [n] or undefined (then 1 and 0). Differentiable; any floating dtype.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps);

/// The same from elementary operations: the specification.
at::Tensor layer_norm_plain(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps);
at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps);

}  // namespace evenkeel::ops
