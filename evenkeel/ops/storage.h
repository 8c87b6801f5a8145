// From tensors to what kernels take.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/kernels/types.h"

namespace evenkeel::ops {

/// Whether kernels store `type`: fp32 or bf16. Anything else runs plain.
inline bool has_kernels(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16;
}

/// fp32 of anything but double, which stays: what sums and norms are computed in.
inline at::Tensor wide(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? t : t.to(at::kFloat);
}

/// The values of `t`, which must be contiguous; null when undefined.
template <class T>
T* values(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.data_ptr()) : nullptr;
}

/// Calls body(T{}) with the storage type of `type`, which has_kernels.
template <class Body>
void with_storage(at::ScalarType type, const Body& body) {
  if (type == at::kBFloat16) body(kernels::bf16{});
  else body(float{});
}

/// The values of `t`, of any type and layout, in order.
inline std::vector<double> numbers(const at::Tensor& t) {
  const at::Tensor all = t.detach().to(at::kDouble).contiguous();
  return {all.data_ptr<double>(), all.data_ptr<double>() + all.numel()};
}

inline c10::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? c10::optional<at::Tensor>(t) : c10::nullopt;
}
inline at::Tensor tensor_or_none(const c10::optional<at::Tensor>& t) {
  return t.value_or(at::Tensor());
}

}  // namespace evenkeel::ops
