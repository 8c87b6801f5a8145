// Sums over an array in double, in a fixed order: the same bits for any number of threads.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

/// Sum of x[i]^2, accumulated in double in eight fixed lanes; not finite as soon as one x[i] is not.
double sum_squares(const float* x, std::int64_t n);
double sum_squares(const double* x, std::int64_t n);

}  // namespace evenkeel::kernels
