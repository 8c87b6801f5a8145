// sigma-reparam: What = (gamma / sigma) W with sigma = v^T W u, u and v the top singular vectors as power
// iteration knows them (Zhai et al. 2023, arXiv 2303.06296). u and v count as constants, sigma does not:
//
//   dL/dgamma = <G, W> / sigma,   dL/dW = (gamma / sigma) (G - (<G, W> / sigma) v u^T),   G = dL/dWhat,
//
// so <dL/dW, W> = 0 for any u and v. The weights of several layers may count as one matrix, rows below each
// other, and its rows may be cut into equal groups (heads) with a sigma and a gamma each. A zero matrix
// counts as if sigma were 1: What = 0 and dL/dW = gamma G. fp32 (own kernels, bits do not depend on threads)
// or double (plain).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace evenkeel::ops {

/// What is known of the singular vectors; G groups of m / G rows. No gradient.
struct SpectralState {
  at::Tensor u;         ///< [G, n], right singular vectors, of length 1
  at::Tensor v;         ///< [m], left singular vectors of the groups, one after the other
  at::Tensor sigma;     ///< [G]
  at::Tensor residual;  ///< [G], |W^T v - (v^T W u) u| / sigma before the last iteration
};

/// Exact top right singular vector of every group, [groups, n]; a zero group gets a unit vector. Always on
/// one thread. Cost: min(m / G, n)^3.
at::Tensor top_singular_vectors(const std::vector<at::Tensor>& weights, std::int64_t groups);

/// Power iteration from `u`: per group at least once and at most `most` times, until the residual is at most
/// `tolerance`. All tensors of the result are new.
SpectralState power_iterate(const std::vector<at::Tensor>& weights, const at::Tensor& u, double tolerance,
                            int most);

/// The same from a block of vectors per group, `block` [G, kBlock, n], which is advanced
/// (ops/top_singular.h), and a last iteration of the best one. A single vector may rest at the second
/// singular value when the first has overtaken it, with a residual that looks well; a block holds both.
SpectralState block_iterate(const std::vector<at::Tensor>& weights, at::Tensor& block, double tolerance,
                            int most);

/// weights [m_i, n], gamma [G] -> What, of the same shapes. Differentiable in weights and gamma.
std::vector<at::Tensor> sigma_reparam(const std::vector<at::Tensor>& weights, const at::Tensor& gamma,
                                      const SpectralState& state);
/// The same from elementary operations: the specification.
std::vector<at::Tensor> sigma_reparam_plain(const std::vector<at::Tensor>& weights, const at::Tensor& gamma,
                                            const SpectralState& state);

}  // namespace evenkeel::ops
