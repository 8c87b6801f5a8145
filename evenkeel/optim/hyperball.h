// Hyperball: a matrix moves on the sphere of its first norm, by an angle that the learning rate sets.
//
//   W <- R N(W - lr R N(u)),   N(x) = x / |x|,  R = |W| before the first update,
//   u = mhat / (sqrt(vhat) + eps) (adam_h) or Muon's O (muon_h)
//
// arXiv 2606.16899. No decay. The radius is kept ("radius"), so that rounding does not add up. For the
// matrices of blocks and the head, which is on Adam's direction with muon_h too; the rest is AdamW's without
// decay. A matrix that starts at zero would stay there, and is refused.
#pragma once

#include <type_traits>

#include "evenkeel/optim/moments.h"
#include "evenkeel/optim/muon.h"

namespace evenkeel::optim {

/// R N(W - lr R N(u)), W where u is zero.
at::Tensor on_sphere(const at::Tensor& matrix, const at::Tensor& u, double radius, double lr);
/// Throws InputError for a matrix of zeros.
void require_norm(const nn::Param& param, OptimiserKind algorithm);

/// `Base` gives the direction.
template <class Base>
class Hyperball final : public Base {
 public:
  Hyperball(std::vector<nn::Param*> params, const OptimSpec& spec)
      : Base(std::move(params), spec), radius_(this->add_number("radius")) {
    for (const nn::Param* param : this->params()) require_norm(*param, spec.algorithm);
  }
  nn::OpUse op_use() const override {
    nn::OpUse use = Base::op_use();
    use.op = std::is_same_v<Base, Muon> ? "muon_h" : "adam_h";
    return use;
  }

 private:
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
  std::size_t radius_;
};

using AdamH = Hyperball<MomentRule>;
using MuonH = Hyperball<Muon>;

}  // namespace evenkeel::optim
