// One AdamW update of one tensor, in place; the equation is in kernels/adamw.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/kernels/adamw.h"

namespace evenkeel::ops {

using AdamWStep = kernels::AdamWStep;
using AdamWSquares = kernels::AdamWSquares;

/// All four tensors contiguous, of one shape and dtype (fp32 or double). What was done is added to
/// `squares` when given.
void adamw_(const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& exp_avg,
            const at::Tensor& exp_avg_sq, const AdamWStep& step, AdamWSquares* squares);

}  // namespace evenkeel::ops
