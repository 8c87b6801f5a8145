// Cross-entropy with z-loss and label smoothing, in place: the logits are overwritten by their gradient.
//
// Over the M rows with a target (target -1: a padding row that counts nowhere and gets gradient 0),
//   Z = sum_j exp(y_j),   q_j = (1 - eps) 1[j = target] + eps / V,
//   ce = log Z - sum_j q_j y_j,   loss = mean(ce + c (log Z)^2),
//   dy_j = ((1 + 2 c log Z) exp(y_j) / Z - q_j) / M.
// Label smoothing: Szegedy et al. 2016, arXiv 1512.00567. z-loss: Chowdhery et al. 2022, arXiv 2204.02311.
//
// Logits of type float or bf16, arithmetic fp32, sums over rows in double. One exp per logit, and one row of
// fp32 as scratch per chunk of rows. Bits do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "evenkeel/kernels/types.h"

namespace evenkeel::kernels {

template <class T>
struct CrossEntropy {
  std::int64_t rows = 0, vocab = 0;
  T* logits = nullptr;                    ///< [rows, vocab]
  const std::int64_t* targets = nullptr;  ///< [rows], in [0, vocab) or -1
  double z_coefficient = 0, label_smoothing = 0;
  const std::uint8_t* occurring = nullptr;  ///< [vocab], not 0 for the ids of `occurring_logits`; may be null
  bool overwrite = true;                    ///< false: the logits stay and no gradient is computed
};

/// Sums over the rows with a target.
struct CrossEntropySums {
  std::int64_t rows = 0;
  double ce = 0, log_z = 0, log_z_squares = 0;
  double occurring_logits = 0;  ///< of the logits of occurring ids
};

CrossEntropySums cross_entropy(const CrossEntropy<float>& a);
CrossEntropySums cross_entropy(const CrossEntropy<bf16>& a);

}  // namespace evenkeel::kernels
