#include "evenkeel/interventions/kappa.h"

#include <ATen/TensorOperators.h>

#include <cmath>
#include <memory>

#include "evenkeel/nn/attention.h"

namespace evenkeel::interventions {
namespace {

class Forced : public nn::HeadTransform {
 public:
  explicit Forced(double kappa) : kappa_(kappa) {}
  at::Tensor forward(const at::Tensor& x) const override {
    constexpr double kLeast = 1e-12;  // of the mean square: for vectors of zeros
    return x * (x.square().mean(-1, true).clamp_min(kLeast).rsqrt() * std::sqrt(kappa_));
  }

 private:
  double kappa_;
};

}  // namespace

void apply_kappa(nn::Module& root, const Experiment& experiment) {
  const double kappa = experiment.interventions.kappa;
  if (kappa == 0) return;
  nn::for_each_attention(root, [&](nn::Attention& attention) {
    attention.set_transforms("kappa", std::make_unique<Forced>(kappa), std::make_unique<Forced>(kappa));
  });
}

}  // namespace evenkeel::interventions
