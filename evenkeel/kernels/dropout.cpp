#include "evenkeel/kernels/dropout.h"

#include "evenkeel/base/rng.h"

namespace evenkeel::kernels {

void dropout_multipliers(const Dropout& dropout, std::int64_t first, std::int64_t n, float* out) {
  constexpr int kIndexBits = 36;  // blocks of four values per step
  const std::uint64_t base = static_cast<std::uint64_t>(dropout.step) << kIndexBits;
  const double threshold = dropout.p * 4294967296.0;
  const float kept = static_cast<float>(1 / (1 - dropout.p));
  for (std::int64_t i = 0; i < n;) {
    const auto index = static_cast<std::uint64_t>(first + i);
    const auto words = philox(dropout.seed, dropout.stream, base + index / 4);
    for (std::uint64_t j = index % 4; j < 4 && i < n; ++j, ++i)
      out[i] = static_cast<double>(words[static_cast<std::size_t>(j)]) < threshold ? 0.0f : kept;
  }
}

}  // namespace evenkeel::kernels
