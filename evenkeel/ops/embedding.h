// Token embedding: out_n = scale * W[id_n].
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

/// weight [V, D], ids [N] int64 in [0, V), which the caller has checked -> [N, D]. Differentiable; fp32 runs
/// through kernels/embedding.h, with a dense gradient, anything else through embedding_plain.
at::Tensor embedding(const at::Tensor& weight, const at::Tensor& ids, double scale = 1);

/// The same from elementary operations: the specification.
at::Tensor embedding_plain(const at::Tensor& weight, const at::Tensor& ids, double scale = 1);

}  // namespace evenkeel::ops
