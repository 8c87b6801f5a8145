// One AdamW update of one tensor (Loshchilov & Hutter 2017, arXiv 1711.05101):
//   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,
//   Delta = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps),   p = p - (lr Delta + decay p).
// 0/0 (eps = 0 and a gradient that was always 0) counts as Delta = 0.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

struct AdamWStep {
  double lr = 0;
  double decay = 0;  ///< share of p removed this step: s lambda (independent) or s eta lambda (coupled)
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double correction1 = 1, correction2 = 1;  ///< 1 - beta^t
};

/// Sums of squares over a tensor.
struct AdamWSquares {
  double update = 0;  ///< of what was subtracted from p, decay included
  double delta = 0;   ///< of Delta: neither learning rate nor decay
};

/// Updates p, m, v in place. What was done is added to `squares` when given; the update's bits do not depend
/// on whether it is.
void adamw(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares);
void adamw(double* p, const double* g, double* m, double* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares);

}  // namespace evenkeel::kernels
