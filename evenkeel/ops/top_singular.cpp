#include "evenkeel/ops/top_singular.h"

#include <ATen/ops/zeros.h>

#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

template <class T>
std::vector<kernels::TopSingular> run(const std::vector<PowerMatrix>& matrices, const PowerOptions& options) {
  std::vector<at::Tensor> kept;  // keeps contiguous copies alive
  std::vector<kernels::PowerOperator<T>> operators;
  for (const PowerMatrix& matrix : matrices) {
    kernels::PowerOperator<T> a;
    const at::Tensor& right = kept.emplace_back(matrix.right.detach().contiguous());
    a.right = right.data_ptr<T>();
    a.k = a.m = right.size(0);
    a.n = right.size(1);
    a.block = matrix.block.data_ptr<T>();
    if (matrix.left.defined()) {
      const at::Tensor& left = kept.emplace_back(matrix.left.detach().contiguous());
      a.left = left.data_ptr<T>();
      a.m = left.size(1);
    }
    operators.push_back(a);
  }
  return kernels::top_singular_values<T>(operators, options.tolerance, options.most);
}

}  // namespace

at::Tensor power_block(const at::Tensor& right) {
  return at::zeros({kernels::kBlock, right.size(1)}, right.options().requires_grad(false));
}

std::vector<kernels::TopSingular> top_singular_values(const std::vector<PowerMatrix>& matrices,
                                                      const PowerOptions& options) {
  if (matrices.empty()) return {};
  const Expect expect("top_singular_values");
  const at::ScalarType type = matrices.front().right.scalar_type();
  expect.that(type == at::kFloat || type == at::kDouble, "matrices must be Float or Double");
  for (const PowerMatrix& matrix : matrices) {
    expect.tensor("right", matrix.right, {kAny, kAny}, {type});
    expect.optional("left", matrix.left, {matrix.right.size(0), kAny}, {type});
    expect.tensor("block", matrix.block, {kernels::kBlock, matrix.right.size(1)}, {type});
    expect.contiguous("block", matrix.block);
  }
  return matrices.front().right.scalar_type() == at::kDouble ? run<double>(matrices, options)
                                                             : run<float>(matrices, options);
}

}  // namespace evenkeel::ops
