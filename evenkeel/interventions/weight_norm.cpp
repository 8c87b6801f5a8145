#include "evenkeel/interventions/weight_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <memory>

#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/weight_transform.h"

namespace evenkeel::interventions {
namespace {

class WeightNormTransform : public nn::WeightTransform {
 public:
  explicit WeightNormTransform(nn::Linear& layer)
      : WeightTransform({&layer}),
        weight_(layer.weight),
        gamma_(add_param("gamma", {layer.weight.value.size(0)}, nn::Role::kGamma, nn::Init::kOnes)) {}

  void parameters_drawn(std::uint64_t) override { adopt(); }
  void adopt() override {
    const c10::AutoGradMode no_grad(false);
    gamma_.value.copy_(weight_.value.norm(2, {1}));
  }
  std::vector<at::Tensor> forward(const nn::Context&) const override {
    // The root of the squares has no gradient at 0, where it counts as 1.
    const at::Tensor squares = weight_.value.square().sum({1});
    const at::Tensor norm = at::where(squares == 0, at::ones_like(squares), squares).sqrt();
    return {weight_.value * (gamma_.value / norm).unsqueeze(1)};
  }
  std::vector<nn::OpUse> op_uses(const nn::Context&) const override {
    return {{"weight_norm", OpPath::kPlain, "the treatment has no fused form", false}};
  }

 private:
  nn::Param &weight_, &gamma_;
};

}  // namespace

void apply_weight_norm(nn::Module& root, const Experiment& experiment) {
  if (!experiment.interventions.weight_norm) return;
  root.visit([](nn::Module& module) {
    if (auto* layer = dynamic_cast<nn::Linear*>(&module);
        layer != nullptr && layer->weight.role != nn::Role::kEmbedding)
      layer->set_weight_transform("weight_norm", std::make_unique<WeightNormTransform>(*layer));
  });
}

}  // namespace evenkeel::interventions
