// The norms of the residual stream, over the last dimension, with a factor c that is 1 but for LayerNorm
// scaling:
//
//   layer_norm: y = c (g (x - mean) / sqrt(var + eps) (+ b)), var the biased variance (Ba, Kiros & Hinton
//   2016,
//               arXiv 1607.06450; the form of Flax)
//   rms_norm:   y = c (g x / sqrt(mean of x^2 + eps) (+ b))   (Zhang & Sennrich 2019, arXiv 1910.07467)
//
// Gain only unless biases are asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/ops/add_norm.h"
#include "evenkeel/spec/arch.h"
#include "evenkeel/spec/residual.h"

namespace evenkeel::nn {

/// The residual stream of the fused path, with a branch that the next norm will add: omega x + branch. What
/// is scaled may also be the branch, which then stands in the place of x. On the plain path there is only x.
struct Stream {
  at::Tensor x;              ///< [N, D] fp32
  at::Tensor branch;         ///< [N, D] in the storage dtype; undefined: nothing to add
  kernels::Dropout dropout;  ///< of the branch
  std::string site;          ///< the block that the sum is the output of; "" when it is not one's
  at::Tensor omega;          ///< [D] or one number; undefined: 1
};

struct NormShape {
  std::int64_t width = 0;
  NormType type = NormType::kLayerNorm;
  double eps = 0;
  bool bias = false;
};
NormShape norm_shape(const ArchSpec& arch);

class Norm : public Module {
 public:
  explicit Norm(const NormShape& shape, double factor = 1);
  /// x [..., width] -> same shape, on the plain path.
  at::Tensor forward(const at::Tensor& x) const;
  /// x [N, width] on the path of `context`, which stores the result.
  at::Tensor forward(const at::Tensor& x, const Context& context) const;
  /// Adds the stream's branch and normalises the sum, in one pass: the sum [N, width] fp32, and its norm in
  /// `type` (context.storage() when not given). Reports the rms of the sum as "block/<site>/out_rms" when the
  /// stream names a site.
  ops::AddNormResult forward(const Stream& stream, const Context& context) const;
  ops::AddNormResult forward(const Stream& stream, const Context& context, at::ScalarType type) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  Param& gain;
  Param* bias = nullptr;  ///< null without bias

 private:
  at::Tensor scaled(const Param* p) const;  ///< undefined for null

  NormShape shape_;
  double factor_;
};

/// The stream's sum [N, D] fp32 without norm.
at::Tensor sum(const Stream& stream, const Context& context);

/// What a layer with matrices reads of the stream: its sum, normed unless `norm` is null, as the path stores
/// it.
at::Tensor read(const Stream& stream, const Norm* norm, const Context& context);

}  // namespace evenkeel::nn
