#include "evenkeel/ops/reduce.h"

#include <cmath>

#include "evenkeel/kernels/reduce.h"

namespace evenkeel::ops {

double sum_squares(const at::Tensor& x) {
  const at::Tensor flat = x.detach().contiguous();
  if (flat.scalar_type() == at::kDouble) return kernels::sum_squares(flat.data_ptr<double>(), flat.numel());
  return kernels::sum_squares(flat.data_ptr<float>(), flat.numel());
}

double rms(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : std::sqrt(sum_squares(x) / static_cast<double>(x.numel()));
}

}  // namespace evenkeel::ops
