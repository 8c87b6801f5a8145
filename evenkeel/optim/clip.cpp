#include "evenkeel/optim/clip.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

ClipResult clip_global_norm(const std::vector<nn::Param*>& params, double max_norm) {
  c10::AutoGradMode no_grad(false);
  double squares = 0;
  for (const nn::Param* param : params)
    if (param->value.grad().defined()) squares += ops::sum_squares(param->value.grad());
  const double norm = std::sqrt(squares);
  if (max_norm == 0 || !std::isfinite(norm) || norm <= max_norm) return {norm, norm};
  for (const nn::Param* param : params)
    if (param->value.grad().defined()) param->value.mutable_grad().mul_(max_norm / norm);
  return {norm, max_norm};
}

}  // namespace evenkeel::optim
