// Scaled residual and norm as one op: x' = omega * x + m * (f + f_bias), y = norm(x'); the equations and the
// sources are in kernels/add_norm.h.
//
// Pre-LN, post-LN, sandwich, DeepNorm (omega a number) and Admin (omega a vector) all use it: f with norm,
// f without norm (the residual alone) or no f (the norm alone, x' is x).
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/kernels/add_norm.h"

namespace evenkeel::ops {

using kernels::Dropout;
using kernels::NormKind;

struct NormSpec {
  NormKind kind = NormKind::kLayerNorm;
  double eps = 1e-6;
};

/// Undefined tensors leave a part out. All differentiable.
struct AddNormInputs {
  at::Tensor x;          ///< [N, D] fp32
  at::Tensor f;          ///< [N, D] fp32 or bf16
  at::Tensor f_bias;     ///< [D]; only with f
  at::Tensor omega;      ///< [D], or one number ([] or [1]); undefined: 1; only with f
  at::Tensor gain;       ///< [D]
  at::Tensor norm_bias;  ///< [D]
};

struct AddNormResult {
  at::Tensor x;            ///< x' [N, D], the residual stream that goes on; connected to the graph like y
  at::Tensor y;            ///< [N, D] in y_type; undefined with NormKind::kNone
  double sum_squares = 0;  ///< of x', in double, in a fixed order
};

/// `dropout` acts on f + f_bias; the multipliers are those of dropout_mask. In double the plain form runs.
AddNormResult add_norm(const AddNormInputs& inputs, const NormSpec& norm, const Dropout& dropout = {},
                       at::ScalarType y_type = at::kFloat);

/// The same from elementary operations, in the dtype of x but for y: the specification.
AddNormResult add_norm_plain(const AddNormInputs& inputs, const NormSpec& norm, const Dropout& dropout = {},
                             at::ScalarType y_type = at::kFloat);

}  // namespace evenkeel::ops
