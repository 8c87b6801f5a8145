#include "evenkeel/ops/adamw.h"

namespace evenkeel::ops {
namespace {

template <class T>
void run(const std::vector<AdamWTensors>& all, const AdamWStep& step, AdamWSquares* squares) {
  std::vector<kernels::AdamWTensor<T>> tensors;
  std::vector<at::Tensor> gradients;  // keeps contiguous copies alive
  for (const AdamWTensors& one : all) {
    kernels::AdamWTensor<T>& tensor = tensors.emplace_back();
    tensor.p = one.param.data_ptr<T>();
    if (one.gradient.defined())
      tensor.g = gradients.emplace_back(one.gradient.contiguous()).template data_ptr<T>();
    tensor.m = one.exp_avg.data_ptr<T>();
    tensor.v = one.exp_avg_sq.data_ptr<T>();
    tensor.n = one.param.numel();
    tensor.decays = one.decays;
  }
  kernels::adamw(tensors, step, squares);
}

void run(const std::vector<AdamWTensors>& all, const AdamWStep& step, AdamWSquares* squares) {
  if (all.empty()) return;
  if (all.front().param.scalar_type() == at::kDouble) run<double>(all, step, squares);
  else run<float>(all, step, squares);
}

}  // namespace

void adamw_(const std::vector<AdamWTensors>& all, const AdamWStep& step, std::vector<AdamWSquares>* squares) {
  if (squares != nullptr) squares->assign(all.size(), {});
  run(all, step, squares != nullptr ? squares->data() : nullptr);
}

void adamw_(const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& exp_avg,
            const at::Tensor& exp_avg_sq, const AdamWStep& step, AdamWSquares* squares) {
  run({{param, gradient, exp_avg, exp_avg_sq}}, step, squares);
}

}  // namespace evenkeel::ops
