// The largest singular value of a matrix followed by power iteration, and the weight that sigma-reparam makes
// of it: What = (gamma / sigma) W with sigma = v^T W u (Zhai et al. 2023, arXiv 2303.06296).
//
// A matrix is given by its rows, which may lie in several tensors (queries, keys and values). One pass over
// it per iteration: v = W u / |W u| and W^T v need each row once. fp32, norms and inner products in double;
// rows are taken in chunks of fixed size and partial sums added in order, so no bit depends on the number of
// threads.
#pragma once

#include <cstdint>

#include "evenkeel/kernels/matmul.h"

namespace evenkeel::kernels {

struct PowerIteration {
  double sigma = 0;  ///< v^T W u = |W^T v| with the u and v that are left; at most the largest singular value
  double residual = 0;  ///< |W^T v - (v^T W u) u| / sigma before the last u was taken; 0 for a zero matrix
  int iterations = 0;
};

/// Repeats v = W u / |W u|, u = W^T v / |W^T v| until the residual is at most `tolerance`, at least once and
/// at most `most` times. W [m, n]; u [n] of length 1 is advanced, v [m] is written. A zero matrix leaves u as
/// it is, with v = 0 and sigma = 0. So does, because W^T W has to fit in fp32, one whose numbers lie below
/// about 1e-19. A matrix that is not finite, or whose W^T W is not (numbers above 1e19), leaves u as it is,
/// with sigma, residual and v NaN.
PowerIteration power_iterate(const WeightRows& rows, std::int64_t n, float* u, float* v, double tolerance,
                             int most);

/// out = factor W, row by row.
void scale_rows(const WeightRows& rows, std::int64_t n, float factor, const GradientRows& out);

/// <G, W>.
double inner_product(const WeightRows& g, const WeightRows& w, std::int64_t n);

/// out = factor (G - along v u^T): the gradient of sigma-reparam with factor = gamma / sigma and
/// along = <G, W> / sigma. `out` may be G.
void subtract_rank_one(const WeightRows& g, std::int64_t n, float factor, float along, const float* v,
                       const float* u, const GradientRows& out);

}  // namespace evenkeel::kernels
