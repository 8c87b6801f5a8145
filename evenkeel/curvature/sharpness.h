// Sharpness: the largest eigenvalue of the Hessian H of the training loss, and where it stands to the edge of
// stability of the optimiser.
//
//   Gradient descent at rate lr is unstable along eigenvectors of H beyond 2 / lr; with heavy-ball momentum
//   mu beyond (2 + 2 mu) / lr. Adam follows P^-1/2 H P^-1/2 with P = diag(sqrt(vhat) + eps), and is unstable
//   beyond (2 + 2 beta1) / ((1 - beta1) lr), 38 / lr at beta1 = 0.9; RAdam the same with P / r_t, Adagrad
//   with its own P and 2 / lr.
//
// Cohen et al. 2021 (arXiv 2103.00065) and 2022 (arXiv 2207.14484). Clipping and weight decay count nowhere;
// for LARS, which scales every tensor by a number of its own, no edge is known.
//
// Cost: two runs of Lanczos (lanczos.h) of one product with H (hessian.h) per iteration.
#pragma once

#include <optional>

#include "evenkeel/curvature/lanczos.h"
#include "evenkeel/models/model.h"
#include "evenkeel/nn/context.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/spec/optim.h"

namespace evenkeel::curvature {

/// The largest eigenvalue at which `optim` at rate `lr` is stable, of H preconditioned or not; nullopt where
/// none is known.
struct StabilityEdge {
  bool preconditioned = false;
  double factor = 2;  ///< times 1 / lr
};
std::optional<StabilityEdge> stability_edge(const OptimSpec& optim);

/// Of the residual that Lanczos stops at: an eigenvalue is then good to about 1e-6 over the gap.
inline constexpr double kSharpnessTolerance = 1e-3;

struct Sharpness {
  double loss = 0;  ///< of the batch, nats per token, z-loss included
  TopEigenvalue hessian;
  /// Of P^-1/2 H P^-1/2, P that of the optimiser over the factor of each tensor's rate; unset where it has
  /// none (before its first update too) and where no edge is known.
  std::optional<TopEigenvalue> preconditioned;
};

/// In the type of the model's parameters; `context` with plain ops and not training. Nothing is changed.
Sharpness sharpness_of(models::Model& model, const models::Batch& batch, const nn::Context& context,
                       const optim::Optimiser& optimiser, const OptimSpec& spec, int iterations);

}  // namespace evenkeel::curvature
