// GELU, tanh form (Hendrycks & Gimpel 2016, arXiv 1606.08415): y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715
// x^3))).
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

/// Elementwise and differentiable. Contiguous fp32 runs through kernels/gelu.h, anything else through
/// gelu_plain.
at::Tensor gelu(const at::Tensor& x);

/// The same from elementary operations: the specification.
at::Tensor gelu_plain(const at::Tensor& x);

}  // namespace evenkeel::ops
