// How far a fused op may be from its plain form in double.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/sub.h>

#include <string>
#include <vector>

namespace evenkeel::test {

/// Largest |a - b| divided by the root mean square of b: errors of sums are in proportion to their terms, not
/// to their total. NaN when one is.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.detach().to(at::kDouble);
  const double size = wide.square().mean().sqrt().item<double>();
  return (a.detach().to(at::kDouble) - wide).abs().max().item<double>() / (size > 0 ? size : 1);
}

/// fp32 kernels differ from double by the rounding of at most a few hundred terms, 1e-7 each, and an exp good
/// to 2e-7.
constexpr double kFp32 = 2e-5;
/// bf16 storage rounds every activation to 2^-9 of its size; a handful of such roundings in a row, the
/// largest of thousands of values.
constexpr double kBf16 = 0.06;

inline double tolerance(at::ScalarType type) {
  return type == at::kBFloat16 ? kBf16 : kFp32;
}

}  // namespace evenkeel::test
