// The stack that Admin's statements about initialisation are checked on: an encoder of S sentences of T
// tokens with bidirectional attention of 4 heads, ReLU MLP of width r D, and everything drawn as Xavier
// matrices with queries, keys and values as one. Tokens are normal plus sinusoids, Var[x_0] = 1.5.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/nn/residual.h"

namespace evenkeel::test {

class EncoderStack {
 public:
  struct Shape {
    std::int64_t layers = 6, width = 64, ratio = 4, sentences = 4, tokens = 16;
  };
  struct Layer {
    at::Tensor q, k, v, o, w1, w2;
    std::vector<at::Tensor*> all() { return {&q, &k, &v, &o, &w1, &w2}; }
  };

  /// The same seed gives the same matrices and tokens under every scheme that asks for no gains.
  EncoderStack(ResidualScheme scheme, const Shape& shape, std::uint64_t seed, const AdminSpec& admin = {},
               double dropout = 0)
      : shape_(shape) {
    const StackPlan plan = plan_stack(scheme, StackShape::alone(shape.layers), MatrixInit::kXavier, admin);
    const nn::NormShape norm{shape.width, NormType::kLayerNorm, 1e-5, true};
    Rng rng(seed, "test/encoder");
    const std::int64_t d = shape.width, f = shape.ratio * d;
    for (std::size_t i = 0; i < plan.layers.size(); ++i) {
      const MatrixGains &a = plan.layers[i][0].gains, &m = plan.layers[i][1].gains;
      layers_.push_back({xavier(rng, d, d, a.q), xavier(rng, d, d, a.k), xavier(rng, d, d, a.v),
                         xavier(rng, d, d, a.o), xavier(rng, f, d, m.w1), xavier(rng, d, f, m.w2)});
      for (std::size_t j = 0; j < 2; ++j) {
        sublayers_.push_back(std::make_unique<nn::Residual>(plan.layers[i][j], norm, dropout,
                                                            j == 0 ? "attn" : "mlp",
                                                            j == 0 ? nullptr : sublayers_.back().get()));
        nn::Residual& added = *sublayers_.back();
        nn::initialise(added, seed);
        added.name_tree(fmt::format("blocks.{}", i));
      }
    }
    if (plan.final_norm) {
      final_norm_ = std::make_unique<nn::Norm>(norm);
      nn::initialise(*final_norm_, seed);
    }
    x0 = at::empty({shape.sentences * shape.tokens, d}, at::kFloat);
    for (std::int64_t row = 0; row < x0.size(0); ++row)
      for (std::int64_t c = 0; c < d; ++c) {
        const std::int64_t half = d / 2, wave = c % half;
        const double angle = static_cast<double>(row % shape.tokens + 1) *
                             std::pow(10000, -static_cast<double>(wave) / static_cast<double>(half - 1));
        x0.data_ptr<float>()[row * d + c] =
            static_cast<float>(rng.normal() + (c < half ? std::sin(angle) : std::cos(angle)));
      }
  }

  /// The stream after 0, 1, 2, ... sub-layers, [S T, D] each.
  std::vector<at::Tensor> streams(const nn::Context& context = {}) const {
    nn::Stream stream;
    stream.x = x0;
    std::vector<at::Tensor> all{x0};
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const at::Tensor input = stream.x;
      stream = sublayers_[2 * i]->forward(
          stream, [&](const at::Tensor& u) { return attend(layers_[i], u); }, context, input);
      all.push_back(stream.x);
      stream = sublayers_[2 * i + 1]->forward(
          stream,
          [&](const at::Tensor& u) { return u.matmul(layers_[i].w1.t()).relu().matmul(layers_[i].w2.t()); },
          context, input);
      all.push_back(stream.x);
    }
    return all;
  }
  at::Tensor output(const nn::Context& context = {}) const {
    const at::Tensor last = streams(context).back();
    return final_norm_ != nullptr ? final_norm_->forward(last) : last;
  }

  std::vector<nn::Residual*> sublayers() const {
    std::vector<nn::Residual*> all;
    for (const auto& s : sublayers_) all.push_back(s.get());
    return all;
  }
  std::vector<Layer>& layers() { return layers_; }
  void convert(at::ScalarType type) {
    for (const auto& s : sublayers_) s->convert(type);
    if (final_norm_ != nullptr) final_norm_->convert(type);
    for (Layer& layer : layers_)
      for (at::Tensor* matrix : layer.all()) *matrix = matrix->to(type);
    x0 = x0.to(type);
  }

  at::Tensor x0;

 private:
  static at::Tensor xavier(Rng& rng, std::int64_t out, std::int64_t in, double gain) {
    at::Tensor w = at::empty({out, in}, at::kFloat);
    const double bound = gain * std::sqrt(6 / static_cast<double>(in + out));
    for (std::int64_t i = 0; i < w.numel(); ++i)
      w.data_ptr<float>()[i] = static_cast<float>(bound * (2 * rng.uniform() - 1));
    return w;
  }

  at::Tensor attend(const Layer& layer, const at::Tensor& u) const {
    constexpr std::int64_t kHeads = 4;
    const std::int64_t k = shape_.width / kHeads;
    const auto heads = [&](const at::Tensor& w) {
      return u.matmul(w.t()).view({shape_.sentences, shape_.tokens, kHeads, k}).transpose(1, 2);
    };
    const at::Tensor scores =
        heads(layer.q).matmul(heads(layer.k).transpose(2, 3)) / std::sqrt(static_cast<double>(k));
    return scores.softmax(-1).matmul(heads(layer.v)).transpose(1, 2).reshape(u.sizes()).matmul(layer.o.t());
  }

  Shape shape_;
  std::vector<std::unique_ptr<nn::Residual>> sublayers_;
  std::vector<Layer> layers_;
  std::unique_ptr<nn::Norm> final_norm_;
};

}  // namespace evenkeel::test
