#include "evenkeel/nn/norm.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "evenkeel/ops/layer_norm.h"
#include "evenkeel/ops/storage.h"

namespace evenkeel::nn {
namespace {

/// Double stays double, whatever the fast form would store.
at::Tensor stored(const at::Tensor& x, const Context& context) {
  return x.scalar_type() == at::kDouble ? x : x.to(context.storage());
}

void report(const Stream& stream, const ops::AddNormResult& out, const Context& context) {
  if (context.stats != nullptr && !stream.site.empty())
    context.stats->scalar("block/" + stream.site + "/out_rms",
                          std::sqrt(out.sum_squares / static_cast<double>(out.x.numel())));
}

}  // namespace

NormShape norm_shape(const ArchSpec& arch) {
  return {arch.D(), arch.norm, arch.norm_eps, arch.bias};
}

Norm::Norm(const NormShape& shape, double factor)
    : gain(add_param("gain", {shape.width}, Role::kGain, Init::kOnes)), shape_(shape), factor_(factor) {
  if (shape.bias) bias = &add_param("bias", {shape.width}, Role::kBias, Init::kZeros);
}

at::Tensor Norm::scaled(const Param* p) const {
  if (p == nullptr) return {};
  return factor_ == 1 ? p->value : p->value * factor_;
}

at::Tensor Norm::forward(const at::Tensor& x) const {
  if (shape_.type == NormType::kLayerNorm) return ops::layer_norm(x, scaled(&gain), scaled(bias), shape_.eps);
  return ops::rms_norm_plain(x, scaled(&gain), scaled(bias), shape_.eps);
}

at::Tensor Norm::forward(const at::Tensor& x, const Context& context) const {
  return context.fused() ? forward(Stream{ops::wide(x), {}, {}, "", {}}, context).y : forward(x);
}

ops::AddNormResult Norm::forward(const Stream& stream, const Context& context) const {
  return forward(stream, context, context.storage());
}

ops::AddNormResult Norm::forward(const Stream& stream, const Context& context, at::ScalarType type) const {
  ops::AddNormInputs in;
  in.x = stream.x;
  in.f = stream.branch;
  in.omega = stream.omega;
  in.gain = scaled(&gain);
  in.norm_bias = scaled(bias);
  const ops::NormKind kind =
      shape_.type == NormType::kLayerNorm ? ops::NormKind::kLayerNorm : ops::NormKind::kRmsNorm;
  ops::AddNormResult out = ops::add_norm(in, {kind, shape_.eps}, stream.dropout, type);
  report(stream, out, context);
  return out;
}

std::vector<OpUse> Norm::op_uses(const Context& context) const {
  return {context.use("norm", gain.value.scalar_type())};
}

at::Tensor sum(const Stream& stream, const Context& context) {
  if (!stream.branch.defined()) return stream.x;
  ops::AddNormInputs in;
  in.x = stream.x;
  in.f = stream.branch;
  in.omega = stream.omega;
  const ops::AddNormResult out = ops::add_norm(in, {ops::NormKind::kNone}, stream.dropout);
  report(stream, out, context);
  return out.x;
}

at::Tensor read(const Stream& stream, const Norm* norm, const Context& context) {
  if (!context.fused()) return norm != nullptr ? norm->forward(stream.x) : stream.x;
  return norm != nullptr ? norm->forward(stream, context).y : stored(sum(stream, context), context);
}

}  // namespace evenkeel::nn
