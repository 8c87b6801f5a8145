// How the product of a query and a key becomes the score that enters the softmax.
#pragma once

namespace evenkeel::kernels {

/// z = s <q, k>, and with a soft cap c tanh(z / c) of that (Gemma 2, arXiv 2408.00118). One value for all who
/// need to know what a logit is: the kernels, their reference, statistics, the check of theorem 3.1.
struct ScoreRule {
  double scale = 1;    ///< s, e.g. 1 / sqrt(K); must be positive
  double softcap = 0;  ///< c; 0 is off
};

}  // namespace evenkeel::kernels
