#include "evenkeel/ops/reduce.h"

#include <cmath>
#include <span>

#include "evenkeel/kernels/reduce.h"
#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

template <class T>
std::vector<double> run(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat;  // keeps contiguous copies alive
  std::vector<std::span<const T>> arrays;
  for (const at::Tensor& x : tensors) {
    const at::Tensor& kept = flat.emplace_back(x.detach().contiguous());
    arrays.emplace_back(kept.data_ptr<T>(), static_cast<std::size_t>(kept.numel()));
  }
  return kernels::sum_squares(arrays);
}

}  // namespace

double sum_squares(const at::Tensor& x) {
  return sum_squares(std::vector<at::Tensor>{x})[0];
}

std::vector<double> sum_squares(const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) return {};
  const at::ScalarType type = tensors.front().scalar_type();
  const Expect expect("sum_squares");
  for (const at::Tensor& x : tensors)
    expect.that(x.scalar_type() == type && (type == at::kFloat || type == at::kDouble),
                "takes tensors of one type, Float or Double");
  return tensors.front().scalar_type() == at::kDouble ? run<double>(tensors) : run<float>(tensors);
}

double rms(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : std::sqrt(sum_squares(x) / static_cast<double>(x.numel()));
}

}  // namespace evenkeel::ops
