#include "evenkeel/nn/patch_embedding.h"

#include <fmt/format.h>

#include <memory>

#include "evenkeel/base/error.h"

namespace evenkeel::nn {

PatchEmbedding::PatchEmbedding(std::int64_t channels, std::int64_t patch, std::int64_t width, bool bias)
    : projection(add_child("projection", std::make_unique<Linear>(channels * patch * patch, width, bias))),
      patch_(patch) {}

at::Tensor PatchEmbedding::forward(const at::Tensor& images, const Context& context) const {
  const std::int64_t p = patch_, height = images.size(2), width = images.size(3);
  if (height % p != 0 || width % p != 0)
    throw InputError(fmt::format("images must be a whole number of {0} x {0} patches, got {1} x {2} pixels",
                                 p, height, width));
  const at::Tensor cut = images.view({images.size(0), images.size(1), height / p, p, width / p, p});
  const at::Tensor patches = cut.permute({0, 2, 4, 1, 3, 5}).reshape({-1, projection.weight.value.size(1)});
  return projection.forward(patches, context);
}

}  // namespace evenkeel::nn
