// Scaled residual and norm as one pass over the rows:
//   x' = omega * x + m * (f + f_bias),   y = gain * xhat + norm_bias,
//   LayerNorm: xhat = (x' - mean) / sqrt(var + eps), var biased (Ba, Kiros & Hinton 2016, arXiv 1607.06450);
//   RMSNorm:   xhat = x' / sqrt(mean of x'^2 + eps) (Zhang & Sennrich 2019, arXiv 1910.07467).
//
// omega: none (1), one number (DeepNorm) or one per channel (Admin). m: dropout. Every part can be left out:
// without f x' is x and only the norm is done, without norm only the residual.
// Backward, with g the gradient of x' that arrives from above and dz = gain * dy:
//   t = g + (dz - mean(dz) - xhat mean(dz xhat)) / sqrt(var + eps)   (RMSNorm: without mean(dz)),
//   dx = omega * t,   df = m * t,   d_f_bias = sum_rows m * t,   d_omega = sum_rows x * t,
//   d_gain = sum_rows dy * xhat,   d_norm_bias = sum_rows dy.
//
// x, x' and all parameters fp32; f of type F, y of type Y (float or bf16 each). Memory traffic is that of the
// inputs and outputs, each touched once. Bits do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "evenkeel/kernels/dropout.h"
#include "evenkeel/kernels/types.h"

namespace evenkeel::kernels {

enum class NormKind { kNone, kLayerNorm, kRmsNorm };

/// What both directions need. Null pointers leave a part out.
struct AddNormCommon {
  std::int64_t rows = 0, width = 0;
  const float* x = nullptr;      ///< [rows, width]
  const float* omega = nullptr;  ///< [width] or one number
  bool omega_per_channel = false;
  Dropout dropout;
  NormKind norm = NormKind::kNone;
  const float* gain = nullptr;  ///< [width]
};

template <class F, class Y>
struct AddNormForward : AddNormCommon {
  const F* f = nullptr;           ///< [rows, width]
  const float* f_bias = nullptr;  ///< [width]
  float eps = 0;
  const float* norm_bias = nullptr;  ///< [width]
  float* sum = nullptr;              ///< out: x' [rows, width]; not written without f
  Y* y = nullptr;                    ///< out: [rows, width]; not written without norm
  float* mean = nullptr;             ///< out: [rows], LayerNorm only
  float* inverse = nullptr;          ///< out: [rows], 1 / sqrt(... + eps)
};

/// Returns the sum of squares of x', added up in double.
double add_norm_forward(const AddNormForward<float, float>& a);
double add_norm_forward(const AddNormForward<float, bf16>& a);
double add_norm_forward(const AddNormForward<bf16, float>& a);
double add_norm_forward(const AddNormForward<bf16, bf16>& a);

template <class F, class Y>
struct AddNormBackward : AddNormCommon {
  // x is read only for d_omega, omega only for dx.
  const float* sum = nullptr;      ///< x' (without f: x); read only with norm
  const float* mean = nullptr;     ///< of the forward pass
  const float* inverse = nullptr;  ///< of the forward pass
  const float* d_sum = nullptr;    ///< gradient of x'; null: zero
  const Y* dy = nullptr;           ///< gradient of y; null: zero
  float* dx = nullptr;             ///< out: [rows, width]
  F* df = nullptr;                 ///< out: [rows, width]
  float* d_f_bias = nullptr;       ///< out: [width]
  float* d_omega = nullptr;        ///< out: [width] or one number, like omega
  float* d_gain = nullptr;         ///< out: [width]
  float* d_norm_bias = nullptr;    ///< out: [width]
};

/// Outputs that are null are not computed.
void add_norm_backward(const AddNormBackward<float, float>& a);
void add_norm_backward(const AddNormBackward<float, bf16>& a);
void add_norm_backward(const AddNormBackward<bf16, float>& a);
void add_norm_backward(const AddNormBackward<bf16, bf16>& a);

}  // namespace evenkeel::kernels
