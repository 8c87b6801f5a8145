#include "evenkeel/ops/activation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/erf.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tanh.h>

#include <cmath>
#include <numbers>

namespace evenkeel::ops {

at::Tensor activation(const at::Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::kGeluTanh: {
      const double root = std::sqrt(2 / std::numbers::pi);
      return x * 0.5 * ((x + x * x * x * 0.044715) * root).tanh().add(1);
    }
    case Activation::kGeluErf:
      return x * 0.5 * (x * (std::numbers::sqrt2 / 2)).erf().add(1);
    case Activation::kRelu:
      return x.relu();
  }
  return {};
}

}  // namespace evenkeel::ops
