#include "evenkeel/ops/dropout.h"

#include <ATen/ops/empty.h>

#include "evenkeel/base/rng.h"

namespace evenkeel::ops {

at::Tensor dropout_mask(const at::Tensor& like, double p, std::uint64_t seed, std::string_view site,
                        std::int64_t step) {
  constexpr int kIndexBits = 36;  // blocks of four values per step
  at::Tensor mask = at::empty(like.sizes(), at::kFloat);
  float* out = mask.data_ptr<float>();
  const std::int64_t n = mask.numel();
  const std::uint64_t stream = stream_id(site), base = static_cast<std::uint64_t>(step) << kIndexBits;
  const double threshold = p * 4294967296.0;
  const float kept = static_cast<float>(1 / (1 - p));
  for (std::int64_t i = 0; i < n; i += 4) {
    const auto words = philox(seed, stream, base + static_cast<std::uint64_t>(i / 4));
    for (std::int64_t j = 0; j < 4 && i + j < n; ++j)
      out[i + j] = static_cast<double>(words[static_cast<std::size_t>(j)]) < threshold ? 0.0f : kept;
  }
  return mask.to(like.scalar_type());
}

}  // namespace evenkeel::ops
