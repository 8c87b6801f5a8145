// Largest singular values of many matrices or products of two, each by block power iteration on a block that
// the caller keeps (kernels/block_power.h): the first call starts from fixed random directions, later ones
// where the last one ended. Records no gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/kernels/block_power.h"

namespace evenkeel::ops {

struct PowerMatrix {
  at::Tensor right;  ///< [k, n]
  at::Tensor left;   ///< [k, m]: A = left^T right, which is not formed; undefined: A = right
  at::Tensor block;  ///< from power_block(right), read and written
};

/// Room for the iteration's vectors, [4, n] zeros in the dtype of `right`.
at::Tensor power_block(const at::Tensor& right);

struct PowerOptions {
  double tolerance = 1e-3;  ///< of the residual; sigma is then good to about its square over the spectral gap
  int most = 60;            ///< iterations
};

/// fp32 or double, one dtype for all. No bit depends on the number of threads.
std::vector<kernels::TopSingular> top_singular_values(const std::vector<PowerMatrix>& matrices,
                                                      const PowerOptions& options = {});

}  // namespace evenkeel::ops
