// Rotary positions (Su et al. 2021, arXiv 2104.09864), channels paired as halves: for pair c at position t,
//   (x_c, x_{c+K/2}) -> (x_c cos - x_{c+K/2} sin, x_{c+K/2} cos + x_c sin),  angle t base^(-2c/K).
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace evenkeel::ops {

/// Cosines and sines [T, K/2] in double.
std::pair<at::Tensor, at::Tensor> rotary_table(std::int64_t positions, std::int64_t head_width, double base);

/// x [B, T, H, K]; cos, sin [at least T, K/2] in the dtype of x -> [B, H, T, K], contiguous. Differentiable.
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace evenkeel::ops
