// Matrix products, exact in the dtype of their inputs or with inputs rounded to bf16.
//
// kBf16: the inputs (and in the backward pass the upstream gradient) are rounded to bf16, products are
// accumulated in fp32 inside the library and rounded to bf16 on output, then widened to the dtype of the
// input. Differentiable in every tensor argument.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

enum class Rounding { kNone, kBf16 };

/// x [N, in], weight [out, in], bias [out] or undefined -> [N, out].
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Rounding rounding);

/// a [n, i, j], b [n, j, k] -> a b [n, i, k].
at::Tensor batched_product(const at::Tensor& a, const at::Tensor& b, Rounding rounding);

}  // namespace evenkeel::ops
