#include "evenkeel/curvature/lanczos.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <vector>

namespace evenkeel::curvature {
namespace {

double inner(const at::Tensor& a, const at::Tensor& b) {
  return at::dot(a, b).item<double>();
}

struct Ritz {
  double value = 0, last = 0;  ///< the largest, and the last entry of its vector
};

Ritz top_ritz(const std::vector<double>& diagonal, const std::vector<double>& beside) {
  const auto k = static_cast<std::int64_t>(diagonal.size());
  at::Tensor t = at::zeros({k, k}, at::kDouble);
  double* x = t.data_ptr<double>();
  for (std::int64_t i = 0; i < k; ++i) {
    x[i * k + i] = diagonal[static_cast<std::size_t>(i)];
    if (i + 1 < k) x[i * k + i + 1] = x[(i + 1) * k + i] = beside[static_cast<std::size_t>(i)];
  }
  const auto [values, vectors] = at::linalg_eigh(t);  // ascending
  return {values[k - 1].item<double>(), vectors[k - 1][k - 1].item<double>()};
}

}  // namespace

TopEigenvalue top_eigenvalue(const std::function<at::Tensor(const at::Tensor&)>& product,
                             const at::Tensor& start, const LanczosOptions& options) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> basis{start / std::sqrt(inner(start, start))};
  std::vector<double> diagonal, beside;
  for (int k = 1;; ++k) {
    at::Tensor next = product(basis.back()).clone();
    diagonal.push_back(inner(basis.back(), next));
    // Once leaves what rounding left of large components; twice is enough (Parlett).
    for (int pass = 0; pass < 2; ++pass)
      for (const at::Tensor& v : basis) next.sub_(v, inner(v, next));
    const double length = std::sqrt(inner(next, next));
    if (!std::isfinite(diagonal.back()) || !std::isfinite(length)) return {kNan, kNan, k};
    const Ritz top = top_ritz(diagonal, beside);
    const double residual = length * std::abs(top.last), size = std::abs(top.value);
    if (residual <= options.tolerance * size || k >= options.most || k >= start.numel())
      return {top.value, size == 0 ? 0 : residual / size, k};
    beside.push_back(length);
    basis.push_back(next.div_(length));
  }
}

}  // namespace evenkeel::curvature
