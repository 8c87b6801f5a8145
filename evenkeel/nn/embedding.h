// Token embedding: row ids[n] of W [V, D], times a constant, perhaps normed; and one number per channel for
// what comes of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/norm.h"

namespace evenkeel::nn {

class Embedding : public Module {
 public:
  /// Weight: normal with std 1 / sqrt(width).
  Embedding(std::int64_t vocab, std::int64_t width, double scale = 1);
  /// ids [N] int64 -> [N, D]. Throws InputError for an id outside [0, V).
  at::Tensor forward(const at::Tensor& ids, const Context& context) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  /// Slots: a further factor; and a norm of the rows, whose parameters become "<path>.norm.*".
  void set_scale(const std::string& name, double scale);
  void set_norm(const std::string& name, std::unique_ptr<Norm> norm);
  double scale() const { return scale_; }
  bool has_norm() const { return norm_ != nullptr; }

  Param& weight;

 private:
  double scale_;
  std::string scale_name_, norm_name_;
  Norm* norm_ = nullptr;
};

/// x [N, D] -> gain x, gain [D] from 1.
class EmbeddingScale : public Module {
 public:
  explicit EmbeddingScale(std::int64_t width);
  at::Tensor forward(const at::Tensor& x) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  Param& gain;
};

}  // namespace evenkeel::nn
