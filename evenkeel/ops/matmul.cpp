#include "evenkeel/ops/matmul.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/mm.h>

namespace evenkeel::ops {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Rounding rounding) {
  if (rounding == Rounding::kBf16) {
    const at::Tensor y = at::mm(x.to(at::kBFloat16), weight.to(at::kBFloat16).t()).to(x.scalar_type());
    return bias.defined() ? y + bias : y;
  }
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor batched_product(const at::Tensor& a, const at::Tensor& b, Rounding rounding) {
  if (rounding == Rounding::kNone) return at::bmm(a, b);
  return at::bmm(a.to(at::kBFloat16), b.to(at::kBFloat16)).to(a.scalar_type());
}

}  // namespace evenkeel::ops
