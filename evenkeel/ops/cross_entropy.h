// Cross-entropy with z-loss: mean_n [ log Z_n - y_n,target + c (log Z_n)^2 ],  Z_n = sum_j exp(y_nj).
// With label smoothing eps the target counts 1 - eps and every id eps / V (Szegedy et al. 2016,
// arXiv 1512.00567).
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
  double mean_logit = 0;  ///< over the ids of LossSpec::occurring; 0 when none are given
};

struct LossSpec {
  double z_coefficient = 0;    ///< c; 0 is off, and then no bit of the gradient depends on it
  double label_smoothing = 0;  ///< eps in [0, 1)
  at::Tensor occurring{};      ///< [V] bool: ids whose mean logit is asked for; undefined: none
};

/// In place, for training: logits [N, V] fp32 or bf16 that require a gradient are overwritten by it (the mean
/// is over the rows with a target; those with target -1 count nowhere), and backward() hands that on without
/// another pass. Their values are gone afterwards: an op that saved them for its own backward pass reports
/// it. Logits that need no gradient stay. All rows without target: the loss is NaN. In double the plain form
/// runs, and nothing is overwritten.
Loss cross_entropy_(const at::Tensor& logits, const at::Tensor& targets, const LossSpec& spec = {});

/// The same from elementary operations: the specification.
Loss cross_entropy_plain(const at::Tensor& logits, const at::Tensor& targets, const LossSpec& spec = {});

}  // namespace evenkeel::ops
