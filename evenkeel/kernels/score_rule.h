// How the product of a query and a key becomes a score, and scores become weights.
#pragma once

namespace evenkeel::kernels {

/// What makes weights of the scores z_i of a query: softmax, or squared ReLU, a_ij = max(0, z_ij)^2 / sqrt(T)
/// (Wortsman et al. 2023, arXiv 2309.14322, E.11), which looks at one key at a time.
enum class WeightRule { kSoftmax, kSquaredRelu };

/// z = s <q, k>, and with a soft cap c tanh(z / c) of that (Gemma 2, arXiv 2408.00118). One value for all who
/// need to know what a logit is: the kernels, their reference, statistics, the check of theorem 3.1.
struct ScoreRule {
  double scale = 1;    ///< s, e.g. 1 / sqrt(K); must be positive
  double softcap = 0;  ///< c; 0 is off
  WeightRule kind = WeightRule::kSoftmax;
  double positions = 0;  ///< T of squared ReLU; 0: the number of keys of the sequence, without padding
};

}  // namespace evenkeel::kernels
