#include "evenkeel/optim/clip.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

ClipResult measure_clip(const std::vector<nn::Param*>& params, double max_norm) {
  c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> gradients;
  for (const nn::Param* param : params)
    if (param->value.grad().defined()) gradients.push_back(param->value.grad());
  double squares = 0;
  for (const double part : ops::sum_squares(gradients)) squares += part;
  const double norm = std::sqrt(squares);
  if (max_norm == 0 || !std::isfinite(norm) || norm <= max_norm) return {norm, norm};
  return {norm, max_norm, max_norm / norm};
}

}  // namespace evenkeel::optim
