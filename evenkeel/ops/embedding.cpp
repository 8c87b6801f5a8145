#include "evenkeel/ops/embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "evenkeel/kernels/embedding.h"
#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const at::Tensor& ids,
                            double scale) {
    ctx->save_for_backward({ids});
    ctx->saved_data["vocab"] = weight.size(0);
    ctx->saved_data["scale"] = scale;
    at::Tensor out = at::empty({ids.numel(), weight.size(1)}, weight.options());
    kernels::embedding_forward(weight.data_ptr<float>(), ids.data_ptr<std::int64_t>(),
                               {ids.numel(), weight.size(0), weight.size(1)}, static_cast<float>(scale),
                               out.data_ptr<float>());
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const at::Tensor ids = ctx->get_saved_variables()[0], d_out = upstream[0].contiguous();
    const std::int64_t vocab = ctx->saved_data["vocab"].toInt();
    at::Tensor d_weight = at::empty({vocab, d_out.size(1)}, d_out.options());
    kernels::embedding_backward(
        d_out.data_ptr<float>(), ids.data_ptr<std::int64_t>(), {ids.numel(), vocab, d_out.size(1)},
        static_cast<float>(ctx->saved_data["scale"].toDouble()), d_weight.data_ptr<float>());
    return {d_weight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& weight, const at::Tensor& ids, double scale) {
  const Expect expect("embedding");
  expect.tensor("weight", weight, {kAny, kAny}, {at::kFloat, at::kDouble});
  expect.tensor("ids", ids, {kAny}, {at::kLong});
  if (weight.scalar_type() != at::kFloat) return embedding_plain(weight, ids, scale);
  return Embedding::apply(weight.contiguous(), ids.contiguous(), scale);
}

std::optional<std::int64_t> first_outside(const at::Tensor& ids, std::int64_t vocab) {
  if (!ids.is_cpu()) return std::nullopt;
  const at::Tensor flat = ids.contiguous();
  const auto *begin = flat.data_ptr<std::int64_t>(), *end = begin + flat.numel();
  const auto* bad = std::find_if(begin, end, [&](std::int64_t id) { return id < 0 || id >= vocab; });
  return bad != end ? std::optional(*bad) : std::nullopt;
}

at::Tensor embedding_plain(const at::Tensor& weight, const at::Tensor& ids, double scale) {
  const at::Tensor rows = at::embedding(weight, ids);
  return scale == 1 ? rows : rows * scale;
}

}  // namespace evenkeel::ops
