#include "evenkeel/interventions/sigma_reparam.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <memory>
#include <string>
#include <string_view>

#include "evenkeel/base/rng.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/weight_transform.h"
#include "evenkeel/ops/sigma_reparam.h"
#include "evenkeel/ops/storage.h"
#include "evenkeel/ops/top_singular.h"

namespace evenkeel::interventions {
namespace {

constexpr std::string_view kName = "sigma_reparam";
constexpr int kMostIterations = 20;  // of one update
// At the start sigma is to be known as well as fp32 knows it, so that |What| is |gamma| to 1e-5.
constexpr double kStartTolerance = 1e-6;

class SigmaTransform : public nn::WeightTransform {
 public:
  SigmaTransform(std::vector<nn::Linear*> members, std::int64_t groups, SigmaReparam form,
                 const SigmaOptions& options)
      : WeightTransform(std::move(members)),
        form_(form),
        options_(options),
        groups_(groups),
        u_(add_buffer("u", at::zeros({groups, nn::WeightTransform::members()[0]->weight.value.size(1)}))),
        v_(add_buffer("v", at::zeros({rows()}))),
        sigma_(add_buffer("sigma", at::zeros({groups}))),
        residual_(add_buffer("residual", at::zeros({groups}))) {
    if (options.update == SigmaUpdate::kPerStep)
      block_ = &add_buffer("block", at::zeros({groups, kernels::kBlock, u_.value.size(1)}));
    if (form == SigmaReparam::kOn)
      trained_gamma_ = &add_param("gamma", {groups}, nn::Role::kGamma, nn::Init::kOnes);
    if (form == SigmaReparam::kSpectralNorm) fixed_gamma_ = &add_buffer("gamma", at::ones({groups}));
  }

  void parameters_drawn(std::uint64_t seed) override {
    start(seed);
    switch (options_.gamma_init) {
      case GammaInit::kOne:
        return set_gamma(at::ones({groups_}));
      case GammaInit::kValue:
        return set_gamma(at::ones({groups_}) * options_.gamma_value);
      case GammaInit::kSigma0:
        return set_gamma(sigma_.value);
    }
  }

  void adopt() override {
    start_exact();
    set_gamma(sigma_.value);
  }

  void after_update() override {
    if (block_ != nullptr)
      keep(ops::block_iterate(weights(), block_->value, options_.tolerance, kMostIterations));
  }

  std::vector<at::Tensor> forward(const nn::Context& context) const override {
    ops::SpectralState state{u_.value, v_.value, sigma_.value, residual_.value};
    if (options_.update == SigmaUpdate::kPerForward) {
      state = ops::power_iterate(weights(), u_.value, 0, 1);
      if (context.training) keep(state);
    }
    if (context.stats != nullptr) report(state, *context.stats);
    if (form_ == SigmaReparam::kStatsOnly) return weights();
    return context.fused() ? ops::sigma_reparam(weights(), gamma(), state)
                           : ops::sigma_reparam_plain(weights(), gamma(), state);
  }

  std::vector<nn::OpUse> op_uses(const nn::Context& context) const override {
    return {context.use(std::string(kName), u_.value.scalar_type())};
  }

 private:
  std::int64_t rows() const {
    std::int64_t sum = 0;
    for (const nn::Linear* layer : members()) sum += layer->weight.value.size(0);
    return sum;
  }
  std::vector<at::Tensor> weights() const {
    std::vector<at::Tensor> all;
    for (const nn::Linear* layer : members()) all.push_back(layer->weight.value);
    return all;
  }
  const at::Tensor& gamma() const {
    return trained_gamma_ != nullptr ? trained_gamma_->value : fixed_gamma_->value;
  }
  void set_gamma(const at::Tensor& value) {
    const c10::AutoGradMode no_grad(false);
    if (trained_gamma_ != nullptr) trained_gamma_->value.copy_(value);
    if (fixed_gamma_ != nullptr) fixed_gamma_->value = value.clone();
  }
  // Training passes of a const model move the state: it is not what is learned.
  void keep(const ops::SpectralState& state) const {
    u_.value = state.u;
    v_.value = state.v;
    sigma_.value = state.sigma;
    residual_.value = state.residual;
  }
  void start_from(const at::Tensor& u, double tolerance, int most) {
    keep(ops::power_iterate(weights(), u, tolerance, most));
    if (block_ == nullptr) return;
    // The other vectors of the block are filled in by the first update.
    block_->value = at::zeros_like(block_->value);
    block_->value.select(1, 0).copy_(u_.value);
  }
  void start_exact() {
    start_from(ops::top_singular_vectors(weights(), groups_), kStartTolerance, kMostIterations);
  }
  void start(std::uint64_t seed) {
    if (options_.start == SigmaStart::kSvd) return start_exact();
    Rng rng(seed, "init/" + u_.name);
    std::vector<float> drawn(static_cast<std::size_t>(u_.value.numel()));
    for (float& value : drawn) value = static_cast<float>(rng.normal());
    const at::Tensor u = at::tensor(drawn).view(u_.value.sizes());
    start_from(u / u.norm(2, {1}, true), 0, static_cast<int>(options_.burn_in));
  }
  void report(const ops::SpectralState& state, nn::StatSink& sink) const {
    const std::string site = "sigma/" + path().substr(0, path().size() - kName.size() - 1) + "/";
    sink.heads(site + "sigma", ops::numbers(state.sigma));
    sink.heads(site + "residual", ops::numbers(state.residual));
    if (form_ != SigmaReparam::kStatsOnly) sink.heads(site + "gamma", ops::numbers(gamma()));
  }

  SigmaReparam form_;
  SigmaOptions options_;
  std::int64_t groups_;
  nn::Buffer &u_, &v_, &sigma_, &residual_;
  nn::Buffer* block_ = nullptr;  ///< of an update per step
  nn::Param* trained_gamma_ = nullptr;
  nn::Buffer* fixed_gamma_ = nullptr;
};

}  // namespace

void apply_sigma_reparam(nn::Module& root, const Experiment& experiment) {
  const SigmaReparam form = experiment.interventions.sigma_reparam;
  const SigmaOptions& options = experiment.interventions.sigma;
  if (form == SigmaReparam::kOff) return;
  const std::string name(kName);
  const auto transform = [&](std::vector<nn::Linear*> members, std::int64_t groups = 1) {
    return std::make_unique<SigmaTransform>(std::move(members), groups, form, options);
  };
  root.visit([&](nn::Module& module) {
    if (auto* attention = dynamic_cast<nn::Attention*>(&module)) {
      nn::Linear *q = &attention->q, *k = &attention->k, *v = &attention->v;
      if (options.qkv == SigmaQkv::kFused)
        attention->set_weight_transform("qkv." + name, transform({q, k, v}));
      if (options.qkv == SigmaQkv::kQkV) attention->set_weight_transform("qk." + name, transform({q, k}));
      if (options.qkv == SigmaQkv::kPerHead)
        for (nn::Linear* layer : {q, k, v})
          layer->set_weight_transform(name, transform({layer}, attention->shape().heads));
    }
    if (auto* layer = dynamic_cast<nn::Linear*>(&module)) {
      if (layer->weight_transform() != nullptr) return;
      if (layer->weight.role == nn::Role::kHead && !options.head) return;
      if (layer->weight.role == nn::Role::kEmbedding && !(options.head && options.tied_head)) return;
      layer->set_weight_transform(name, transform({layer}));
    }
  });
}

}  // namespace evenkeel::interventions
