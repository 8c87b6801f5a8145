#include "evenkeel/optim/hyperball.h"

#include <fmt/format.h>

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/ops/reduce.h"

namespace evenkeel::optim {

at::Tensor on_sphere(const at::Tensor& matrix, const at::Tensor& u, double radius, double lr) {
  const double length = std::sqrt(ops::sum_squares(u));
  if (length == 0 || radius == 0) return matrix;
  const at::Tensor moved = matrix.sub(u.mul(lr * radius / length));
  return moved.mul_(radius / std::sqrt(ops::sum_squares(moved)));
}

void require_norm(const nn::Param& param, OptimiserKind algorithm) {
  if (ops::sum_squares(param.value) > 0) return;
  throw InputError(fmt::format(
      "[optim.algorithm] = \"{}\" keeps the norm of {}, which starts at zero and would stay there; "
      "choose another optimiser or another start (arch.residual, arch.init)",
      enum_name(algorithm), param.name));
}

template <class Base>
Change Hyperball<Base>::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const at::Tensor &radius = this->quantity(radius_, i), &matrix = this->params()[i]->value;
  if (this->steps() == 1) radius.fill_(std::sqrt(ops::sum_squares(matrix)));
  const at::Tensor moved =
      on_sphere(matrix, this->direction_of(i, gradient), radius.template item<double>(), lr);
  return {matrix.sub(moved)};
}

template class Hyperball<MomentRule>;
template class Hyperball<Muon>;

}  // namespace evenkeel::optim
