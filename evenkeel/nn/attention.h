// Multi-head attention: z_ij = <q_i, k_j> / sqrt(K) (or another kernels::ScoreRule) for the j that i sees,
// a_i = softmax(z_i) (with a sink; or squared ReLU), y = W_o concat_h(a v); causal self-attention, or to
// another sequence, with or without padding.
//
// Vaswani et al. 2017, arXiv 1706.03762; rotary positions, Su et al. 2021, arXiv 2104.09864. Queries and keys
// pass through an optional transform before the rotation: the slot by which treatments such as qk-norm reach
// the product. Cost of the plain path: B H T S scores are stored per layer; the fused path stores none.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "evenkeel/nn/context.h"
#include "evenkeel/nn/dropout.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/module.h"
#include "evenkeel/nn/norm.h"

namespace evenkeel::nn {

/// LayerNorm of queries or keys, as data for the fused attention (kernels/attention.h).
struct FusedNorm {
  at::Tensor gain;  ///< [K], [H, K] (own_gains) or [D] (whole)
  bool own_gains = false, whole = false;
  double eps = 0;
};

/// What may be done to queries or keys. Off is no transform at all.
class HeadTransform : public Module {
 public:
  /// x [B, T, H, K] -> same shape.
  virtual at::Tensor forward(const at::Tensor& x) const = 0;
  /// What the transform is, if it is a norm that the fused attention can do while it loads.
  virtual std::optional<FusedNorm> as_norm() const { return std::nullopt; }
};

struct AttentionShape {
  std::int64_t width = 0, heads = 0, context = 0;  ///< D, H, largest T
  double rope_base = 10000;
  bool bias = false;
  bool rotary = true;
  double dropout = 0;  ///< of the weights
  std::int64_t head_width() const { return width / heads; }
};

/// Which keys a query sees, and which tokens are none.
struct Sight {
  bool causal = true;                         ///< its own and those before it
  at::Tensor query_lengths{}, key_lengths{};  ///< [B] int64; undefined: no padding
};

class Attention : public Module {
 public:
  /// `site` names its statistics: "layer00" gives "attn/layer00/logit_max".
  Attention(const AttentionShape& shape, std::string site);
  /// x [B*T, D] of B sequences -> [B*T, D].
  at::Tensor forward(const at::Tensor& x, std::int64_t batch, const Context& context) const;
  /// Queries from x, keys and values from memory [B*S, D], or from x when it is undefined. Padding gets no
  /// weight, and statistics leave it out.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory, const Sight& sight, std::int64_t batch,
                     const Context& context) const;

  std::vector<OpUse> op_uses(const Context& context) const override;

  /// Each of these fills a slot, or throws std::logic_error when it is filled already. The parameters of
  /// transforms become "<path>.q_norm.*" and "<path>.k_norm.*" for name = "norm".
  void set_transforms(const std::string& name, std::unique_ptr<HeadTransform> query,
                      std::unique_ptr<HeadTransform> key);
  /// A transform of the weights of several of q, k, v together, which it fills the slots of; its parameters
  /// become "<path>.<name>.*".
  void set_weight_transform(const std::string& name, std::unique_ptr<WeightTransform> transform);
  /// Multiplies what heads give by sigmoid(x W_g), x what the queries read: one factor for each head, or
  /// (`per_channel`) for each of its values. W_g [H or D, D] becomes "<path>.gate.weight".
  void set_output_gate(bool per_channel);
  /// After every update the query and key rows of a head whose largest logit of that step was S > tau are
  /// multiplied by sqrt(tau / S), so that the same tokens give tau. Throws std::logic_error when it is set
  /// already.
  void set_qk_clip(double tau);
  void constrain_parameters() override;
  /// The matrices that read x: those of queries and gate, and unless `cross` of keys and values.
  std::vector<const Linear*> readers(bool cross) const;
  /// Fills the slot before `o`; its parameters become "<path>.inner_norm.*".
  void set_inner_norm(std::unique_ptr<Norm> norm);
  /// How products become scores: s in place of 1 / sqrt(K), and a soft cap c, which is that of z after the
  /// scale and the temperature. Both are slots.
  void set_scale(const std::string& name, double scale);
  void set_softcap(const std::string& name, double cap);
  /// What makes weights of scores, in place of softmax, which alone may have a sink: one slot. Its T is the
  /// context of the model where a query sees the past only: the length of a sequence that is still being
  /// written would tell each token how many follow, and decoding does not know it.
  void set_weight_rule(const std::string& name, kernels::WeightRule rule);
  /// One more logit of every row, without a key (kernels/attention.h): 0, or, `learnable`, a parameter
  /// "<path>.sink" [H] that starts there.
  void set_sink(bool learnable);
  kernels::ScoreRule score(const Context& context) const;
  const AttentionShape& shape() const { return shape_; }
  const std::string& site() const { return site_; }

  Linear &q, &k, &v, &o;
  MatrixInit gate_init = MatrixInit::kFanIn;  ///< how the matrix of a gate is drawn

 protected:
  void convert_buffers(const at::TensorOptions& options) override;

 private:
  /// The last matrix and what stands before it; heads [B*T, D] side by side.
  at::Tensor out(const at::Tensor& heads, const Context& context) const;
  at::Tensor sink() const;                         ///< [H] in the type of the parameters; undefined without
  double clip_factor(double largest_logit) const;  ///< of a head's logits
  at::Tensor gated(const at::Tensor& heads, const at::Tensor& x, const at::Tensor& lengths,
                   const Context& context) const;

  AttentionShape shape_;
  std::string site_;
  kernels::ScoreRule score_;  ///< at temperature 1
  std::string scale_name_, softcap_name_, weight_rule_name_;
  at::Tensor cos_, sin_;  ///< [context, K/2]
  HeadTransform *query_transform_ = nullptr, *key_transform_ = nullptr;
  std::string transform_name_;
  Linear* gate_ = nullptr;
  Param* learnt_sink_ = nullptr;
  bool has_sink_ = false;
  double qk_clip_ = 0;  ///< tau; 0: off
  mutable std::vector<double>
      largest_logit_;  ///< per head, of the training pass before an update; empty: none
  Norm* inner_norm_ = nullptr;
  Dropout* weight_dropout_ = nullptr;  ///< null without
};

/// Calls `use` for every attention below `root`, in order.
void for_each_attention(Module& root, const std::function<void(Attention&)>& use);

}  // namespace evenkeel::nn
