// The activation of an MLP from elementary operations: GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415) in
// tanh form, y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), or exactly, y = x Phi(x); ReLU.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/kernels/matmul.h"

namespace evenkeel::ops {

using kernels::Activation;

/// Elementwise and differentiable; any floating dtype.
at::Tensor activation(const at::Tensor& x, Activation kind);

}  // namespace evenkeel::ops
