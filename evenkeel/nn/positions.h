// Sinusoidal positions in the layout of tensor2tensor and fairseq (Vaswani et al. 2017, arXiv 1706.03762
// §3.5): position p of a D-vector holds sin(p w_k) for k < D/2, then cos(p w_k), w_k = 10000^(-k / (D/2 -
// 1)).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "evenkeel/nn/module.h"

namespace evenkeel::nn {

class SinusoidalPositions : public Module {
 public:
  /// Token t = 0, 1, ... stands at position first + t; width even and at least 4.
  SinusoidalPositions(std::int64_t tokens, std::int64_t width, std::int64_t first);
  /// x [B*T, D] of `batch` sequences -> x with the positions added.
  at::Tensor forward(const at::Tensor& x, std::int64_t batch) const;

 protected:
  void convert_buffers(const at::TensorOptions& options) override;

 private:
  std::int64_t tokens_, width_, first_;
  at::Tensor table_;  ///< [tokens, D]
};

}  // namespace evenkeel::nn
