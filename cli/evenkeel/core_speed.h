// How fast a core of this machine multiplies matrices, for the price of a study before it runs.
#pragma once

#include <cstdint>

#include "evenkeel/spec/train.h"

namespace evenkeel::cli {

/// Floating-point operations per second of a product of [256, 256] and [256, 1024], on the kernels that train
/// and on one core: the best of what fits into some 30 ms. fp32 unless `precision` is bf16.
double product_flops_per_s(Precision precision);

/// A training step on the fused path reaches about so much of that speed, counted as sweep::train_flops does:
/// 0.48, 0.65 and 0.75 of 480 GF/s at S, M and L of docs/design/performance.md; less in smaller models, whose
/// products are a smaller part of a step.
inline constexpr double kLeastShare = 0.35, kLargestShare = 0.75;

}  // namespace evenkeel::cli
