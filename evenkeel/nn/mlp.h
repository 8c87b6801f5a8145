// The branch of two matrices: y = W2 act(W1 x + b1) + b2 (Vaswani et al. 2017, arXiv 1706.03762 §3.3).
//
// With a norm inside (sub-LN), y = W2 N(act(W1 x + b1)) + b2; the fused path then runs as products,
// activation and norm, each by itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/norm.h"
#include "evenkeel/ops/activation.h"
#include "evenkeel/spec/arch.h"

namespace evenkeel::nn {

struct MlpShape {
  std::int64_t width = 0, hidden = 0;  ///< D, F
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool bias = false;
};

class Mlp : public Module {
 public:
  explicit Mlp(const MlpShape& shape);
  /// x [N, D] -> [N, D], in the dtype of x.
  at::Tensor forward(const at::Tensor& x, const Context& context) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  /// Fills the slot between activation and W2; its parameters become "<path>.inner_norm.*".
  void set_inner_norm(std::unique_ptr<Norm> norm);
  /// A trained scalar that is added before each matrix and before the activation (Fixup).
  void add_shifts();
  const MlpShape& shape() const { return shape_; }

  Linear &fc1, &fc2;

 private:
  MlpShape shape_;
  Norm* inner_norm_ = nullptr;
  Param* shift_ = nullptr;  ///< of what enters the activation
};

}  // namespace evenkeel::nn
