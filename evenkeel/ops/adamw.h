// One AdamW update of one tensor, in place; the equation is in kernels/adamw.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/kernels/adamw.h"

namespace evenkeel::ops {

using AdamWStep = kernels::AdamWStep;

/// All four tensors contiguous, of one shape and dtype (fp32 or double). `update_squares`, when given, is
/// increased by the sum of squares of the update as applied.
void adamw_(const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& exp_avg,
            const at::Tensor& exp_avg_sq, const AdamWStep& step, double* update_squares);

}  // namespace evenkeel::ops
