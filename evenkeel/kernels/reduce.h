// Sums over arrays in double, in a fixed order: the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenkeel::kernels {

/// Sum of x[i]^2, accumulated in double; not finite as soon as one x[i] is not.
double sum_squares(const float* x, std::int64_t n);
double sum_squares(const double* x, std::int64_t n);

/// The same of each of many arrays, in one parallel pass.
std::vector<double> sum_squares(std::span<const std::span<const float>> arrays);
std::vector<double> sum_squares(std::span<const std::span<const double>> arrays);

}  // namespace evenkeel::kernels
