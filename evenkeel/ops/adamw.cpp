#include "evenkeel/ops/adamw.h"

namespace evenkeel::ops {
namespace {

template <class T>
void run(const at::Tensor& p, const at::Tensor& g, const at::Tensor& m, const at::Tensor& v,
         const AdamWStep& step, AdamWSquares* squares) {
  kernels::adamw(p.data_ptr<T>(), g.data_ptr<T>(), m.data_ptr<T>(), v.data_ptr<T>(), p.numel(), step,
                 squares);
}

}  // namespace

void adamw_(const at::Tensor& param, const at::Tensor& gradient, const at::Tensor& exp_avg,
            const at::Tensor& exp_avg_sq, const AdamWStep& step, AdamWSquares* squares) {
  const at::Tensor g = gradient.contiguous();
  if (param.scalar_type() == at::kDouble) run<double>(param, g, exp_avg, exp_avg_sq, step, squares);
  else run<float>(param, g, exp_avg, exp_avg_sq, step, squares);
}

}  // namespace evenkeel::ops
