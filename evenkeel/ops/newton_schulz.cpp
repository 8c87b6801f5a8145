#include "evenkeel/ops/newton_schulz.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <cmath>

#include "evenkeel/kernels/matmul.h"
#include "evenkeel/ops/expect.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::ops {
namespace {

constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315, kEps = 1e-7;

// x y^T.
at::Tensor kernel_product(const at::Tensor& x, const at::Tensor& y) {
  at::Tensor z = at::empty({x.size(0), y.size(0)}, x.options());
  kernels::WeightRows rows;
  for (std::int64_t i = 0; i < y.size(0); ++i) rows.push_back(y.data_ptr<float>() + i * y.size(1));
  kernels::linear_forward<float>(x.data_ptr<float>(), x.size(0), x.size(1), rows, nullptr,
                                 z.data_ptr<float>());
  return z;
}

at::Tensor plain_product(const at::Tensor& x, const at::Tensor& y) {
  return at::mm(x, y.t());
}

at::Tensor iterate(const at::Tensor& g, int steps,
                   at::Tensor (*product)(const at::Tensor&, const at::Tensor&)) {
  const bool tall = g.size(0) > g.size(1);
  at::Tensor x = (tall ? g.t() : g).div(std::sqrt(sum_squares(g)) + kEps).contiguous();
  for (int step = 0; step < steps; ++step) {
    const at::Tensor gram = product(x, x);  // symmetric, so its square is a product with itself
    const at::Tensor polynomial = product(gram, gram).mul_(kC).add_(gram.mul(kB));
    x = product(polynomial, x.t().contiguous()).add_(x.mul(kA));
  }
  return tall ? x.t().contiguous() : x;
}

void check(const at::Tensor& g) {
  Expect("newton_schulz").tensor("g", g, {kAny, kAny}, {at::kFloat, at::kDouble});
}

}  // namespace

at::Tensor newton_schulz(const at::Tensor& g, int steps) {
  if (g.scalar_type() != at::kFloat) return newton_schulz_plain(g, steps);
  check(g);
  return iterate(g, steps, kernel_product);
}

at::Tensor newton_schulz_plain(const at::Tensor& g, int steps) {
  check(g);
  return iterate(g, steps, plain_product);
}

}  // namespace evenkeel::ops
