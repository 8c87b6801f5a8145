// What may be done to the matrices of linear layers before they are used: the slot by which treatments such
// as sigma-reparam reach the products. Off is no transform at all.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"

namespace evenkeel::nn {

class Linear;

class WeightTransform : public Module {
 public:
  /// Acts on the weights of `members` together, as one matrix whose rows are theirs, below each other. They
  /// must outlive it.
  explicit WeightTransform(std::vector<Linear*> members);

  /// The weights that the products use, one per member and of the same shape; differentiable.
  virtual std::vector<at::Tensor> forward(const Context& context) const = 0;
  /// Starts over from the members' current weights, so that forward() gives them unchanged: plain weights
  /// have been put in their place.
  virtual void adopt() = 0;

  const std::vector<Linear*>& members() const { return members_; }

 private:
  std::vector<Linear*> members_;
};

/// The weights that the products of `layers` use, in order. Layers that share a transform must be given
/// together.
std::vector<at::Tensor> weights_in_use(const std::vector<const Linear*>& layers, const Context& context);

}  // namespace evenkeel::nn
