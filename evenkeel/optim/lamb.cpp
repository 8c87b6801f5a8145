#include "evenkeel/optim/lamb.h"

#include <cmath>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

Change Lamb::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const at::Tensor& p = params()[i]->value;
  const at::Tensor direction = with_decay(adam_direction(moments(i, gradient)), p, decay_of(i));
  double ratio = 1;
  if (is_trusted(i)) {
    const double size = std::sqrt(ops::sum_squares(p)), length = std::sqrt(ops::sum_squares(direction));
    if (size > 0 && length > 0) ratio = size / length;
  }
  return {direction.mul(lr * ratio)};
}

}  // namespace evenkeel::optim
