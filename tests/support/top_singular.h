// The largest singular value of one matrix, as exact as rounding allows.
#pragma once

#include "evenkeel/ops/top_singular.h"

namespace evenkeel::test {

/// From a cold start, iterated until it is exact to rounding or 1000 times.
inline kernels::TopSingular top_singular_value(const at::Tensor& matrix) {
  const double rounding = matrix.scalar_type() == at::kDouble ? 1e-12 : 1e-6;
  return ops::top_singular_values({{matrix, {}, ops::power_block(matrix)}}, {rounding, 1000})[0];
}

}  // namespace evenkeel::test
