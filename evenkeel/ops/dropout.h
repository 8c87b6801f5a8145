// The multiplier of dropout, counter-based: 0 with probability p, else 1 / (1 - p).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "evenkeel/kernels/dropout.h"

namespace evenkeel::ops {

/// What kernels with dropout take. The numbers depend only on (seed, site, step, index). Steps below 2^28.
kernels::Dropout dropout_at(double p, std::uint64_t seed, std::string_view site, std::int64_t step);

/// A mask of the shape and dtype of `like`. Value i depends only on (seed, site, step, i). Steps below 2^28,
/// fewer than 2^38 values.
at::Tensor dropout_mask(const at::Tensor& like, double p, std::uint64_t seed, std::string_view site,
                        std::int64_t step);
at::Tensor dropout_mask(const at::Tensor& like, const kernels::Dropout& dropout);

}  // namespace evenkeel::ops
