// The largest singular value by block power iteration: V <- orth(A^T A V) for a few columns V at once, with
// the Rayleigh-Ritz values of each iteration (Golub & Van Loan, Matrix Computations, 8.2). A block forgives
// near-degenerate singular values, and one that is kept between calls follows a matrix that moves. A is a
// matrix [m, n] or a product left^T right that is never formed.
//
// Cost per iteration: 4 kBlock numel(A) floating-point operations and one pass over A. A matrix belongs to
// one thread and its sums have a fixed order, so no bit depends on the number of threads. Products in the
// type of A, the small matrices and the residual in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenkeel::kernels {

/// Columns of the block.
constexpr std::int64_t kBlock = 4;

template <class T>
struct PowerOperator {
  const T* right = nullptr;  ///< [k, n]
  std::int64_t k = 0, n = 0;
  const T* left = nullptr;  ///< [k, m]: A = left^T right; null: A = right and m = k
  std::int64_t m = 0;
  /// [kBlock, n]: the columns of V as rows, read and replaced; zeros are filled with fixed random numbers.
  T* block = nullptr;
};

struct TopSingular {
  double sigma = 0;     ///< at most the largest singular value, but for rounding
  double residual = 0;  ///< |A^T u - sigma v| / sigma of the pair of vectors; 0 for a zero matrix
  int iterations = 0;
};

/// Of each operator, iterating until its residual is at most `tolerance`, at least once and at most `most`
/// times. NaN (and a block that starts over) where A is not finite.
template <class T>
std::vector<TopSingular> top_singular_values(std::span<const PowerOperator<T>> operators, double tolerance,
                                             int most);

}  // namespace evenkeel::kernels
