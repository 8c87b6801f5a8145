// The matrix with the singular vectors of G and singular values near 1, by the Newton-Schulz iteration of
// Muon:
//
//   X = G / (|G| + 1e-7);   repeat:  A = X X^T,  X <- a X + (b A + c A A) X,   (a, b, c) = (3.4445,
//   -4.775, 2.0315)
//
// Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025, arXiv 2502.16982. The coefficients
// do not converge: after 5 steps singular values of 0.02 |G| and more are in [0.68, 1.14], and smaller ones
// are below. Cost: 4 m^2 n + 2 m^3 per step, m the smaller side.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

/// g [rows, columns] fp32 or double -> the same shape; zeros for zeros. In fp32 on own matrix products
/// (kernels/matmul.h), whose bits do not depend on threads; in double it is newton_schulz_plain. Not
/// differentiable.
at::Tensor newton_schulz(const at::Tensor& g, int steps);
at::Tensor newton_schulz_plain(const at::Tensor& g, int steps);

}  // namespace evenkeel::ops
