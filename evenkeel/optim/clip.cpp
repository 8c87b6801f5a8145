#include "evenkeel/optim/clip.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

ClipResult measure_clip(const std::vector<nn::Param*>& params, double max_norm) {
  c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> gradients;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (!params[i]->value.grad().defined()) continue;
    gradients.push_back(params[i]->value.grad());
    places.push_back(i);
  }
  ClipResult result;
  result.norms.resize(params.size());
  double squares = 0;
  const std::vector<double> parts = ops::sum_squares(gradients);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    squares += parts[i];
    result.norms[places[i]] = std::sqrt(parts[i]);
  }
  result.norm = result.clipped = std::sqrt(squares);
  if (max_norm == 0 || !std::isfinite(result.norm) || result.norm <= max_norm) return result;
  result.clipped = max_norm;
  result.factor = max_norm / result.norm;
  return result;
}

}  // namespace evenkeel::optim
