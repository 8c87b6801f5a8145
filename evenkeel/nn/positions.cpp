#include "evenkeel/nn/positions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>

#include <cmath>

namespace evenkeel::nn {

SinusoidalPositions::SinusoidalPositions(std::int64_t tokens, std::int64_t width, std::int64_t first)
    : tokens_(tokens), width_(width), first_(first) {
  SinusoidalPositions::convert_buffers(at::kFloat);
}

at::Tensor SinusoidalPositions::forward(const at::Tensor& x, std::int64_t batch) const {
  const std::int64_t time = x.size(0) / batch;
  return (x.view({batch, time, width_}) + table_.narrow(0, 0, time)).view(x.sizes());
}

void SinusoidalPositions::convert_buffers(const at::TensorOptions& options) {
  const std::int64_t half = width_ / 2;
  const at::Tensor frequency =
      at::exp(at::arange(half, at::kDouble) * (-std::log(10000.0) / static_cast<double>(half - 1)));
  const at::Tensor angle = at::arange(first_, first_ + tokens_, at::kDouble).unsqueeze(1) * frequency;
  table_ = at::cat({angle.sin(), angle.cos()}, 1).to(options);
}

}  // namespace evenkeel::nn
