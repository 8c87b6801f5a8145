// AdamW updates in place, of one tensor or of all in one pass; the equations are in kernels/adamw.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/kernels/adamw.h"

namespace evenkeel::ops {

using AdamWStep = kernels::AdamWStep;
using AdamWSquares = kernels::AdamWSquares;

/// A parameter with its gradient (undefined: zero) and moments; contiguous but for the gradient, of one shape
/// and dtype (fp32 or double).
struct AdamWTensors {
  at::Tensor param, gradient, exp_avg, exp_avg_sq;
  double rate = 1, decay = 1;  ///< factors of the step's
};

/// Updates all, which share one dtype. `squares`, when given, gets one entry per parameter. Asking changes no
/// bit of the update.
void adamw_(const std::vector<AdamWTensors>& all, const AdamWStep& step, std::vector<AdamWSquares>* squares);

}  // namespace evenkeel::ops
