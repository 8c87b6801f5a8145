// AdamW updates (Loshchilov & Hutter 2017, arXiv 1711.05101), of all tensors in one parallel pass:
//   m = b1 m + (1 - b1) k g,   v = b2 v + (1 - b2) (k g)^2,
//   Delta = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps),   p = p - (a lr Delta + b decay p),
// where a and b are the tensor's factors and k is that of clipping, so the gradient is read once and not
// rewritten. With eps = 0 a v that is 0 (the gradient always was, or its squares lie below the smallest
// normal number) counts as that smallest number: Delta is then 0 where m is, small where m is small, and
// never 0 because a square was lost.
//
// Every value is read and written once. Chunks of one size: bits depend neither on the number of threads nor
// on whether sums are asked for. fp32 through Highway; double is for checks.
#pragma once

#include <cstdint>
#include <span>

namespace evenkeel::kernels {

struct AdamWStep {
  double lr = 0;
  double decay = 0;  ///< share of p removed this step: s lambda (independent) or s eta lambda (coupled)
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double correction1 = 1, correction2 = 1;  ///< 1 - beta^t
  double gradient_factor = 1;               ///< k
};

/// Sums of squares over a tensor.
struct AdamWSquares {
  double update = 0;    ///< of what was subtracted from p, decay included
  double delta = 0;     ///< of Delta: neither learning rate nor decay
  double gradient = 0;  ///< of k g
  double param = 0;     ///< of p before the update
};

/// One tensor of n values; g null counts as zeros.
template <class T>
struct AdamWTensor {
  T* p = nullptr;
  const T* g = nullptr;
  T* m = nullptr;
  T* v = nullptr;
  std::int64_t n = 0;
  double rate = 1, decay = 1;  ///< factors of the step's learning rate and decay
};

/// Updates p, m, v of every tensor in place. `squares`, when given, holds one entry per tensor, to which what
/// was done is added.
void adamw(std::span<const AdamWTensor<float>> tensors, const AdamWStep& step, AdamWSquares* squares);
void adamw(std::span<const AdamWTensor<double>> tensors, const AdamWStep& step, AdamWSquares* squares);

/// The same of one tensor.
void adamw(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares);
void adamw(double* p, const double* g, double* m, double* v, std::int64_t n, const AdamWStep& step,
           AdamWSquares* squares);

}  // namespace evenkeel::kernels
