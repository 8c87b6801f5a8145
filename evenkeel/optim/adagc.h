// AdaGC: every tensor's gradient is clipped by a norm of its own past.
//
//   gamma = least norm of the first 100 steps (after the global clip, which acts in these);
//   then  h = min(1, 1.05 gamma / |g|),  g <- h g,  gamma <- 0.98 gamma + 0.02 |g|
//
// Wang et al. 2025, arXiv 2502.11034. gamma rises by 0.1 % a step at most, so gradients that grow are
// throttled: the share of clipped tensors is recorded. A gradient of zero leaves
// gamma alone: it would be kept at zero, or throttled long after.
#pragma once

#include <cstdint>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel::optim {

class AdaGc {
 public:
  static constexpr std::int64_t kFirst = 100;

  /// Whether the global clip acts, and the norms of what it leaves are to be given to `learn`.
  bool learns() const { return seen_ < kFirst; }
  void learn(const std::vector<double>& norms);
  /// The factor h of each tensor by its norm.
  std::vector<double> factors(const std::vector<double>& norms);

  Json state() const;
  void load(const Json& state);

 private:
  void require_one_each(const std::vector<double>& norms) const;
  std::int64_t seen_ = 0;
  std::vector<double> gamma_;  ///< per tensor; 0: no gradient yet
};

}  // namespace evenkeel::optim
