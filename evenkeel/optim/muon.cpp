#include "evenkeel/optim/muon.h"

#include <algorithm>
#include <cmath>

#include "evenkeel/ops/newton_schulz.h"

namespace evenkeel::optim {

Muon::Muon(std::vector<nn::Param*> params, const OptimSpec& spec)
    : PlainRule(std::move(params), spec, {"momentum_buffer"}) {}

at::Tensor Muon::direction_of(std::size_t i, const at::Tensor& gradient) {
  const MuonOptions& options = spec().muon;
  const at::Tensor& momentum = quantity(0, i);
  const at::Tensor part = gradient.mul(1 - options.momentum);
  momentum.mul_(options.momentum).add_(part);
  const at::Tensor mixed = options.nesterov ? momentum.mul(options.momentum).add_(part) : momentum;
  return ops::newton_schulz(mixed, static_cast<int>(options.steps));
}

Change Muon::change(std::size_t i, const at::Tensor& gradient, double lr) {
  const double scale = muon_scale(spec().muon.scale, gradient.size(0), gradient.size(1));
  return {direction_of(i, gradient).mul_(lr * scale), decay_of(i)};
}

nn::OpUse Muon::op_use() const {
  return {"muon", OpPath::kFused, "matrix products of own kernels for fp32, whatever train.ops", true};
}

double muon_scale(MuonScale form, std::int64_t rows, std::int64_t columns) {
  const double out = static_cast<double>(rows), in = static_cast<double>(columns);
  switch (form) {
    case MuonScale::kMatchRmsAdamW:
      return 0.2 * std::sqrt(std::max(out, in));
    case MuonScale::kOriginal:
      return std::sqrt(std::max(1.0, out / in));
    case MuonScale::kSpectral:
      break;
  }
  return std::sqrt(out / in);
}

}  // namespace evenkeel::optim
