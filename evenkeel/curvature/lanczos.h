// The largest eigenvalue of a symmetric matrix known by its products alone: Lanczos with full
// reorthogonalisation (Golub & Van Loan, Matrix Computations, 10.1).
//
//   After k products A is T_k (tridiagonal) on an orthonormal basis V_k; theta, s the top pair of T_k. With
//   beta_k the next off-diagonal number, |A y - theta y| = beta_k |s_k| for y = V_k s, so A has an eigenvalue
//   within that of theta; theta is never above the largest one, but for rounding.
//
// The largest in the algebraic sense: a matrix with a more negative eigenvalue than its largest keeps that to
// itself. Cost per iteration: one product and 8 k n operations; memory k n numbers.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace evenkeel::curvature {

struct TopEigenvalue {
  double value = 0;     ///< NaN when a product is not finite
  double residual = 0;  ///< |A y - theta y| / |theta|; the error of theta is about its square over the gap
  int iterations = 0;   ///< products made
};

struct LanczosOptions {
  double tolerance = 1e-3;  ///< of the residual
  int most = 40;            ///< iterations
};

/// `product` [n] -> [n], linear and symmetric; `start` [n] not zero and not orthogonal to the eigenvector
/// sought, such as a random one. fp32 or double; sums in the type of `start`.
TopEigenvalue top_eigenvalue(const std::function<at::Tensor(const at::Tensor&)>& product,
                             const at::Tensor& start, const LanczosOptions& options = {});

}  // namespace evenkeel::curvature
