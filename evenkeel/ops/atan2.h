// The angle of two numbers, value by value, whose bits depend neither on threads nor on where a value lies in
// a vector, as at::atan2's do.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

/// atan2(y, x) of tensors of one shape and type, fp32 or double. Records no gradient.
at::Tensor atan2(const at::Tensor& y, const at::Tensor& x);

}  // namespace evenkeel::ops
