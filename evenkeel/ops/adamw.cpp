#include "evenkeel/ops/adamw.h"

#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

void check(const AdamWTensors& one, at::ScalarType type) {
  const Expect expect("adamw_");
  expect.that(type == at::kFloat || type == at::kDouble, "param must be Float or Double");
  const auto alike = [&](const char* name, const at::Tensor& t) {
    expect.that(t.defined() && t.scalar_type() == type && t.sizes() == one.param.sizes(), name);
    expect.contiguous(name, t);
  };
  alike("all parameters must have one type", one.param);
  alike("exp_avg must be like its parameter", one.exp_avg);
  alike("exp_avg_sq must be like its parameter", one.exp_avg_sq);
  expect.that(!one.gradient.defined() ||
                  (one.gradient.scalar_type() == type && one.gradient.sizes() == one.param.sizes()),
              "gradient must have its parameter's sizes and type");
}

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
    tensor.rate = one.rate;
    tensor.decay = one.decay;
  }
  kernels::adamw(tensors, step, squares);
}

void run(const std::vector<AdamWTensors>& all, const AdamWStep& step, AdamWSquares* squares) {
  if (all.empty()) return;
  for (const AdamWTensors& one : all) check(one, all.front().param.scalar_type());
  if (all.front().param.scalar_type() == at::kDouble) run<double>(all, step, squares);
  else run<float>(all, step, squares);
}

}  // namespace

void adamw_(const std::vector<AdamWTensors>& all, const AdamWStep& step, std::vector<AdamWSquares>* squares) {
  if (squares != nullptr) squares->assign(all.size(), {});
  run(all, step, squares != nullptr ? squares->data() : nullptr);
}

}  // namespace evenkeel::ops
