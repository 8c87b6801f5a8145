// The run-time check of Theorem 3.1 of Zhai et al. 2023 (telemetry/entropy_bound.h): attention's entropy
// against its lower bound, row by row in double, from queries and keys as they enter the product.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/kernels/score_rule.h"

namespace evenkeel::ops {

/// Of one head.
struct EntropyCheck {
  /// Least H - bound(n, centred norm) of the rows with n >= 3 visible keys (2 with a sink), and of those that
  /// violate it: any row of two logits attains its bound. Nats.
  double slack = 0;
  double bound = 0;       ///< mean bound of the rows with n >= 2, nats
  bool violated = false;  ///< a row lies below its bound by more than entropy_bound_slack(n), or is NaN
  double logit_q999 = 0;  ///< 0.999 quantile, by nearest rank, of the logits of rows with n >= 2; no sink's
};

/// q [H, T, K], k [H, S, K] double: z_ij of `rule` for all j, or for j <= i when `causal` (then S =
/// T). At least one row must see two keys: S >= 2. One entry per head. `sink` [H] double, or undefined, is
/// one more logit of every row, an outcome like its keys: a row of n keys is held against the bound of n + 1
/// logits. Softmax only. Cost: 2 K + 20 operations per visible pair. No bit depends on the number of threads.
std::vector<EntropyCheck> entropy_check(const at::Tensor& q, const at::Tensor& k,
                                        const kernels::ScoreRule& rule, bool causal = true,
                                        const at::Tensor& sink = {});

}  // namespace evenkeel::ops
