// Images into tokens: a convolution whose stride is its kernel, that is a linear map of each patch.
//
// Dosovitskiy et al. 2021, arXiv 2010.11929. The kernel is kept as the matrix [D, C p p] of an nn::Linear, so
// what treats linear layers treats it too; patches do not overlap, so that matrix's largest singular value is
// the norm of the whole convolution. Cost: one copy of the image.
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/module.h"

namespace evenkeel::nn {

class PatchEmbedding : public Module {
 public:
  /// Patches of patch x patch pixels of `channels` channels -> D = width.
  PatchEmbedding(std::int64_t channels, std::int64_t patch, std::int64_t width, bool bias);
  /// images [B, C, h p, w p] -> [B h w, D], patches of an image row by row.
  at::Tensor forward(const at::Tensor& images, const Context& context) const;

  Linear& projection;

 private:
  std::int64_t patch_;
};

}  // namespace evenkeel::nn
