#include "evenkeel/interventions/qk_norm.h"

#include <ATen/TensorOperators.h>

#include <memory>

#include "evenkeel/nn/attention.h"
#include "evenkeel/ops/layer_norm.h"

namespace evenkeel::interventions {
namespace {

class QkLayerNorm : public nn::HeadTransform {
 public:
  QkLayerNorm(QkNorm kind, const nn::AttentionShape& shape, double eps)
      : kind_(kind),
        eps_(eps),
        gain_(add_param("gain", gain_shape(kind, shape), nn::Role::kGain, nn::Init::kOnes)) {}

  at::Tensor forward(const at::Tensor& x) const override {
    switch (kind_) {
      case QkNorm::kPerHeadOwn:
        return ops::layer_norm(x, {}, {}, eps_) * gain_.value;
      case QkNorm::kWholeDim:
        return ops::layer_norm(x.flatten(2), gain_.value, {}, eps_).view(x.sizes());
      default:
        return ops::layer_norm(x, gain_.value, {}, eps_);
    }
  }

  std::optional<nn::FusedNorm> as_norm() const override {
    return nn::FusedNorm{gain_.value, kind_ == QkNorm::kPerHeadOwn, kind_ == QkNorm::kWholeDim, eps_};
  }

 private:
  static std::vector<std::int64_t> gain_shape(QkNorm kind, const nn::AttentionShape& shape) {
    if (kind == QkNorm::kPerHeadOwn) return {shape.heads, shape.head_width()};
    return {kind == QkNorm::kWholeDim ? shape.width : shape.head_width()};
  }

  QkNorm kind_;
  double eps_;
  nn::Param& gain_;
};

}  // namespace

void apply_qk_norm(nn::Module& root, const Experiment& experiment) {
  const QkNorm kind = experiment.interventions.qk_norm;
  if (kind == QkNorm::kOff) return;
  nn::for_each_attention(root, [&](nn::Attention& attention) {
    const auto norm = [&] {
      return std::make_unique<QkLayerNorm>(kind, attention.shape(), experiment.arch.norm_eps);
    };
    attention.set_transforms("norm", norm(), norm());
  });
}

}  // namespace evenkeel::interventions
