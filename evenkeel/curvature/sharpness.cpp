#include "evenkeel/curvature/sharpness.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/curvature/hessian.h"

namespace evenkeel::curvature {
namespace {

/// A direction that no eigenvector is orthogonal to, the same for all models of n parameters.
at::Tensor random_direction(std::int64_t n, at::ScalarType type) {
  Rng rng(0, "probe/sharpness");
  at::Tensor v = at::empty({n}, at::kDouble);
  for (std::int64_t i = 0; i < n; ++i) v.data_ptr<double>()[i] = rng.normal();
  return v.to(type);
}

/// diag(P^-1/2) [n], P that of the optimiser over the factor of each parameter's rate; 0 where P is, as the
/// update there is. Undefined where the optimiser has no P; where it `descends` the gradient itself, P has
/// the factors alone, and is undefined when all are one.
at::Tensor inverse_root(const optim::Optimiser& optimiser, bool descends, at::ScalarType type) {
  std::vector<at::Tensor> parts;
  bool own_rates = false;
  for (std::size_t i = 0; i < optimiser.params().size(); ++i) {
    own_rates = own_rates || optimiser.rate_of(i) != 1;
    const at::Tensor p = descends ? at::ones_like(optimiser.params()[i]->value) : optimiser.preconditioner(i);
    if (!p.defined()) return {};
    const at::Tensor wide = p.to(at::kDouble).flatten();
    parts.push_back(wide.rsqrt().masked_fill_(wide.eq(0), 0).mul_(std::sqrt(optimiser.rate_of(i))));
  }
  if (descends && !own_rates) return {};
  return at::cat(parts).to(type);
}

}  // namespace

std::optional<StabilityEdge> stability_edge(const OptimSpec& optim) {
  switch (optim.algorithm) {
    case OptimiserKind::kAdamW:
    case OptimiserKind::kAdam:
    case OptimiserKind::kRAdam:
      return StabilityEdge{true, (2 + 2 * optim.beta1) / (1 - optim.beta1)};
    case OptimiserKind::kAdagrad:
      return StabilityEdge{true, 2};
    case OptimiserKind::kSgd:
      return StabilityEdge{false, 2 + 2 * optim.momentum};
    default:
      return std::nullopt;
  }
}

Sharpness sharpness_of(models::Model& model, const models::Batch& batch, const nn::Context& context,
                       const optim::Optimiser& optimiser, const OptimSpec& spec, int iterations) {
  const c10::AutoGradMode no_grad(false);
  const Hessian hessian(model, batch, context);
  const at::ScalarType type = model.parameters().front()->value.scalar_type();
  const LanczosOptions lanczos{kSharpnessTolerance, iterations};
  const at::Tensor start = random_direction(hessian.size(), type);
  Sharpness found;
  found.loss = hessian.loss();
  found.hessian = top_eigenvalue([&](const at::Tensor& v) { return hessian.times(v); }, start, lanczos);
  const auto edge = stability_edge(spec);
  if (!edge) return found;
  const at::Tensor scale = inverse_root(optimiser, !edge->preconditioned, type);
  if (scale.defined())
    found.preconditioned =
        top_eigenvalue([&](const at::Tensor& v) { return scale * hessian.times(scale * v); }, start, lanczos);
  return found;
}

}  // namespace evenkeel::curvature
