#include "evenkeel/nn/norm.h"

#include <cmath>

#include "evenkeel/ops/layer_norm.h"

namespace evenkeel::nn {

LayerNorm::LayerNorm(std::int64_t width, double eps, bool with_bias)
    : gain(add_param("gain", {width}, Role::kGain, Init::kOnes)), eps_(eps) {
  if (with_bias) bias = &add_param("bias", {width}, Role::kBias, Init::kZeros);
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return ops::layer_norm(x, gain.value, bias != nullptr ? bias->value : at::Tensor(), eps_);
}

ops::AddNormResult LayerNorm::forward(const Stream& stream, const Context& context) const {
  return forward(stream, context, context.storage());
}

ops::AddNormResult LayerNorm::forward(const Stream& stream, const Context& context,
                                      at::ScalarType type) const {
  ops::AddNormInputs in;
  in.x = stream.x;
  in.f = stream.branch;
  in.gain = gain.value;
  if (bias != nullptr) in.norm_bias = bias->value;
  ops::AddNormResult out = ops::add_norm(in, {ops::NormKind::kLayerNorm, eps_}, stream.dropout, type);
  if (context.stats != nullptr && !stream.site.empty())
    context.stats->scalar("block/" + stream.site + "/out_rms",
                          std::sqrt(out.sum_squares / static_cast<double>(out.x.numel())));
  return out;
}

std::vector<OpUse> LayerNorm::op_uses(const Context& context) const {
  return {context.use("norm", gain.value.scalar_type())};
}

}  // namespace evenkeel::nn
