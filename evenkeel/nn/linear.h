// y = x W^T + b, W [out, in]; with a shift c, y = (x + c) W^T + b, c a scalar (Fixup).
#pragma once

#include <ATen/core/Tensor.h>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/weight_transform.h"
#include "evenkeel/spec/residual.h"

namespace evenkeel::nn {

class Linear : public Module {
 public:
  /// Weight: truncated normal with std 1 / sqrt(in); bias: zeros.
  Linear(std::int64_t in, std::int64_t out, bool bias, Role role = Role::kMatrix);
  /// Without bias, with the matrix of another module, which must outlive it: a head that is tied to the
  /// embedding.
  explicit Linear(Param& shared);
  /// x [N, in] -> [N, out], in the dtype of x. On the plain path the product itself is in context.precision;
  /// the fused path goes by the dtype of x.
  at::Tensor forward(const at::Tensor& x, const Context& context) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  /// b + c W 1, [out], for the weights that the product uses; undefined when there is neither.
  at::Tensor bias_in_use(const at::Tensor& weight) const;
  /// Has the weight drawn in another way, its standard deviation times `gain`.
  void draw_by(MatrixInit init, double gain);
  /// Declares c, which starts at zero.
  void add_shift();

  /// The slot of treatments that act on this matrix alone; its parameters become "<path>.<name>.*". Throws
  /// std::logic_error when it is filled already.
  void set_weight_transform(const std::string& name, std::unique_ptr<WeightTransform> transform);
  /// The slot filled with a transform that others own and share.
  void set_weight_transform(const std::string& name, WeightTransform& transform);
  const WeightTransform* weight_transform() const { return weight_transform_; }
  /// Throws std::logic_error when the slot is filled.
  void require_no_weight_transform(const std::string& newcomer) const;

  Param& weight;
  Param* bias = nullptr;  ///< null without bias

 private:
  Param* shift_ = nullptr;
  WeightTransform* weight_transform_ = nullptr;
  std::string weight_transform_name_;
};

}  // namespace evenkeel::nn
