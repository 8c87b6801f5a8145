#include "evenkeel/ops/dropout.h"

#include <ATen/ops/empty.h>

#include "evenkeel/base/rng.h"

namespace evenkeel::ops {

kernels::Dropout dropout_at(double p, std::uint64_t seed, std::string_view site, std::int64_t step) {
  return {p, seed, stream_id(site), step};
}

at::Tensor dropout_mask(const at::Tensor& like, double p, std::uint64_t seed, std::string_view site,
                        std::int64_t step) {
  return dropout_mask(like, dropout_at(p, seed, site, step));
}

at::Tensor dropout_mask(const at::Tensor& like, const kernels::Dropout& dropout) {
  at::Tensor mask = at::empty(like.sizes(), at::kFloat);
  kernels::dropout_multipliers(dropout, 0, mask.numel(), mask.data_ptr<float>());
  return mask.to(like.scalar_type());
}

}  // namespace evenkeel::ops
