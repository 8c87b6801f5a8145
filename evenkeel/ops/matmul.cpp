#include "evenkeel/ops/matmul.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/baddbmm.h>
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

at::Tensor batched_product(const at::Tensor& a, const at::Tensor& b, double scale, const at::Tensor& addend,
                           Rounding rounding) {
  if (rounding == Rounding::kBf16) {
    const at::Tensor y = at::bmm(a.to(at::kBFloat16), b.to(at::kBFloat16)).to(a.scalar_type());
    if (addend.defined()) return scale == 1 ? addend + y : at::add(addend, y, scale);
    return scale == 1 ? y : y * scale;
  }
  if (addend.defined()) return at::baddbmm(addend, a, b, 1, scale);
  const at::Tensor y = at::bmm(a, b);
  return scale == 1 ? y : y * scale;
}

}  // namespace evenkeel::ops
