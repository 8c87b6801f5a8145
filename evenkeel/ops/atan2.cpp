#include "evenkeel/ops/atan2.h"

#include <ATen/ops/empty_like.h>

#include <cmath>

#include "evenkeel/kernels/chunks.h"
#include "evenkeel/kernels/parallel.h"
#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

template <class T>
void run_atan2(const at::Tensor& y, const at::Tensor& x, const at::Tensor& out) {
  const T *above = y.data_ptr<T>(), *beside = x.data_ptr<T>();
  T* to = out.data_ptr<T>();
  const std::vector<kernels::Chunk> chunks = kernels::chunks_of({y.numel()});
  kernels::parallel_for(std::ssize(chunks), [&](std::int64_t c) {
    const kernels::Chunk& chunk = chunks[static_cast<std::size_t>(c)];
    for (std::int64_t i = chunk.begin; i < chunk.begin + chunk.size; ++i)
      to[i] = std::atan2(above[i], beside[i]);
  });
}

}  // namespace

at::Tensor atan2(const at::Tensor& y, const at::Tensor& x) {
  const Expect expect("atan2");
  expect.that((y.scalar_type() == at::kFloat || y.scalar_type() == at::kDouble) &&
                  x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes(),
              "takes two tensors of one shape and type, fp32 or double");
  const at::Tensor above = y.contiguous(), beside = x.contiguous(), out = at::empty_like(above);
  if (y.scalar_type() == at::kDouble) run_atan2<double>(above, beside, out);
  else run_atan2<float>(above, beside, out);
  return out;
}

}  // namespace evenkeel::ops
