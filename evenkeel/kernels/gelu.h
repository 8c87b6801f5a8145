// GELU, tanh form: y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (x + 0.044715
// x^3)).
//
// Hendrycks & Gimpel 2016, arXiv 1606.08415. One pass over memory; exp is a degree-6 polynomial, relative
// error below 3e-7. NaN in gives NaN out.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

/// y[i] = gelu(x[i]).
void gelu_forward(const float* x, float* y, std::int64_t n);
/// dx[i] = dy[i] * gelu'(x[i]).
void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t n);

}  // namespace evenkeel::kernels
