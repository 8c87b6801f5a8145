// Products of the Hessian of the training loss with vectors, exact: the gradient is differentiated again
// (Pearlmutter 1994). Every op of the plain path has a second derivative; that of ReLU counts as 0.
//
// The loss is cross-entropy plus z-loss on one batch, without weight decay, in the type of the parameters.
// Nothing moves the parameters, so the state of treatments (the singular vectors of sigma-reparam) stays what
// it is and counts as constant, while sigma = v^T W u does not. Dropout is off.
//
// Memory: the graph of one forward and backward pass. Cost of a product: about two backward passes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/context.h"

namespace evenkeel::curvature {

class Hessian {
 public:
  /// Over all parameters of `model` that are trained, one after the other; `context` with plain ops and not
  /// training.
  Hessian(models::Model& model, const models::Batch& batch, const nn::Context& context);

  /// H v for v [n], of the parameters' type.
  at::Tensor times(const at::Tensor& v) const;
  /// n
  std::int64_t size() const { return size_; }
  /// Cross-entropy plus z-loss, nats per token.
  double loss() const { return loss_; }

 private:
  std::vector<at::Tensor> parameters_, gradient_;
  std::int64_t size_ = 0;
  double loss_ = 0;
};

}  // namespace evenkeel::curvature
