// Reductions with the same bits for any number of threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace evenkeel::ops {

/// Sum of squares in double; x fp32 or double, any shape. Not finite as soon as one value is not.
double sum_squares(const at::Tensor& x);
/// The same of each of many tensors of one dtype, in one parallel pass.
std::vector<double> sum_squares(const std::vector<at::Tensor>& tensors);
/// Root mean square; 0 for an empty tensor.
double rms(const at::Tensor& x);

}  // namespace evenkeel::ops
