// Cross-entropy with z-loss: mean_n [ log Z_n - y_n,target + c (log Z_n)^2 ],  Z_n = sum_j exp(y_nj).
//
// z-loss: Chowdhery et al. 2022, arXiv 2204.02311; Wortsman et al. 2023, arXiv 2309.14322 §3.1.2 (the mean of
// squares, per token, with the true log Z). Gradient: ((1 + 2 c log Z) p_j - 1[j = target]) / N.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

struct Loss {
  at::Tensor total;       ///< scalar to call backward() on: ce + z
  double ce = 0;          ///< nats per token
  double z = 0;           ///< c times the mean of (log Z)^2
  double mean_log_z = 0;  ///< nats
};

/// logits [N, V], targets [N] int64 in [0, V), c >= 0 (0: no z-loss, and no bit of the gradient depends on
/// it).
Loss cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double c);

/// The same from elementary operations: the specification.
at::Tensor cross_entropy_plain(const at::Tensor& logits, const at::Tensor& targets, double c);

/// Mean of logits[:, ids]; ids [m] int64. Records no gradient.
double mean_logit(const at::Tensor& logits, const at::Tensor& ids);

}  // namespace evenkeel::ops
