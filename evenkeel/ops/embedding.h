// Token embedding: out_n = scale * W[id_n].
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace evenkeel::ops {

/// weight [V, D], ids [N] int64 in [0, V), which the caller has checked -> [N, D]. Differentiable; fp32 runs
/// through kernels/embedding.h, with a dense gradient, anything else through embedding_plain.
at::Tensor embedding(const at::Tensor& weight, const at::Tensor& ids, double scale = 1);

/// The same from elementary operations: the specification.
at::Tensor embedding_plain(const at::Tensor& weight, const at::Tensor& ids, double scale = 1);

/// The first of ids [N] int64 outside [0, vocab); nullopt: none, or a device whose memory cannot be read.
std::optional<std::int64_t> first_outside(const at::Tensor& ids, std::int64_t vocab);

}  // namespace evenkeel::ops
