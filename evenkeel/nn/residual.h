// One residual sub-layer around a branch f, as its record says (spec/residual.h):
//
//   u = c N(x) or x;    y = omega x + s N(f(u)) or omega x + s f(u) (+ the layer's input);    out = N(y) or y
//
// The branch is a function, so that attention, cross-attention and MLPs use the same sub-layer. Dropout acts
// on what the branch gives. On the fused path the sum is one pass together with the norm after it: this
// sub-layer's own, or that of whatever reads the stream next.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/dropout.h"
#include "evenkeel/nn/mlp.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/norm.h"
#include "evenkeel/spec/residual.h"

namespace evenkeel::nn {

class Residual : public Module {
 public:
  /// u [N, D] as the path stores it -> [N, D] alike.
  using Branch = std::function<at::Tensor(const at::Tensor&)>;

  /// `name` begins the names of all it owns: "attn" gives "attn_norm", "attn_dropout", "attn_omega",
  /// "attn_scale", "attn_branch_norm"; so it is added to its owner without a name of its own. `first` is the
  /// layer's first sub-layer, whose s is used when the layer has one; null: this is it.
  Residual(const SubLayer& record, const NormShape& norm, double dropout, const std::string& name,
           const Residual* first = nullptr);

  /// `layer_input` [N, D] as wide as the stream, for sub-layers that add it.
  Stream forward(const Stream& in, const Branch& branch, const Context& context,
                 const at::Tensor& layer_input = {}) const;
  std::vector<OpUse> op_uses(const Context& context) const override;

  const SubLayer& record() const { return record_; }
  /// Where it hangs, e.g. "blocks.0.attn"; valid after name_tree.
  std::string site() const { return path() + "." + name_; }
  /// What the shortcut is multiplied by: [D], one number, or undefined when that is 1.
  at::Tensor omega() const;
  /// A slot: what the branch gives, after its norm if it has one, is multiplied by.
  void set_branch_factor(const std::string& name, double factor);
  /// Fills an omega that is part of the model.
  void set_omega(double value);
  /// The name under which omega is saved; "" when it is not.
  std::string omega_name() const;
  /// The norm before or after the branch; null without.
  const Norm* norm() const { return norm_; }

 protected:
  void convert_buffers(const at::TensorOptions& options) override;

 private:
  at::Tensor scale() const;  ///< s; undefined: 1
  Stream plain(const Stream& in, const Branch& branch, const Context& context,
               const at::Tensor& layer_input) const;
  Stream fused(const Stream& in, const Branch& branch, const Context& context,
               const at::Tensor& layer_input) const;

  SubLayer record_;
  std::string name_, factor_name_;
  double branch_factor_ = 1;
  Norm* norm_ = nullptr;
  Norm* branch_norm_ = nullptr;
  Param* omega_ = nullptr;        ///< trained
  Buffer* kept_omega_ = nullptr;  ///< not trained, one per channel
  at::Tensor constant_omega_;     ///< not trained, a number of the plan
  const Param* scale_ = nullptr;  ///< may be another sub-layer's
  Dropout* dropout_ = nullptr;
};

/// Gives a branch what its sub-layer's record asks of it: the start of its matrices, a norm inside, shifts.
void equip(Attention& attention, const SubLayer& record, const NormShape& norm);
void equip(Mlp& mlp, const SubLayer& record, const NormShape& norm);

}  // namespace evenkeel::nn
