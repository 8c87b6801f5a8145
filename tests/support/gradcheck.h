// Central differences against autograd, in double.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace evenkeel::test {

/// Largest |numeric - autograd| over every element of every leaf, for a function of the leaves to a scalar.
/// With step h = 1e-5 a central difference of a smooth function of order 1 is good to about h^2 + 1e-16 / h =
/// 1e-10.
inline double gradient_error(const std::function<at::Tensor()>& function, std::vector<at::Tensor> leaves) {
  for (at::Tensor& leaf : leaves) {
    leaf.set_requires_grad(true);
    leaf.mutable_grad() = at::Tensor();
  }
  function().backward();
  c10::AutoGradMode no_grad(false);
  constexpr double kStep = 1e-5;
  double worst = 0;
  for (at::Tensor& leaf : leaves) {
    double* x = leaf.data_ptr<double>();
    const at::Tensor gradient = leaf.grad().contiguous();
    for (std::int64_t i = 0; i < leaf.numel(); ++i) {
      const double kept = x[i];
      x[i] = kept + kStep;
      const double up = function().item<double>();
      x[i] = kept - kStep;
      const double down = function().item<double>();
      x[i] = kept;
      worst = std::max(worst, std::abs((up - down) / (2 * kStep) - gradient.data_ptr<double>()[i]));
    }
  }
  return worst;
}

}  // namespace evenkeel::test
