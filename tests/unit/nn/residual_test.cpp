#include "evenkeel/nn/residual.h"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "evenkeel/nn/dropout.h"
#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::nn {
namespace {

constexpr std::int64_t kRows = 2, kWidth = 5;

/// A stack of sub-layers in double around branches that are a matrix and a tanh, and what it is made of.
struct Stack {
  std::vector<std::unique_ptr<Residual>> sublayers;
  std::vector<at::Tensor> matrices;
  std::unique_ptr<Norm> final_norm;
  at::Tensor x;

  Stack(ResidualScheme scheme, NormType norm, double dropout) {
    const NormShape shape{kWidth, norm, 1e-5, true};
    const StackPlan plan = plan_stack(scheme, StackShape::alone(4), MatrixInit::kFanIn);
    for (const auto& layer : plan.layers) {
      const Residual* first = nullptr;
      for (const SubLayer& record : layer) {
        sublayers.push_back(std::make_unique<Residual>(record, shape, dropout, "part", first));
        if (first == nullptr) first = sublayers.back().get();
        initialise(*sublayers.back(), 1);
        sublayers.back()->name_tree(fmt::format("s{}", sublayers.size()));
        sublayers.back()->convert(at::kDouble);
        matrices.push_back(test::random_normal({kWidth, kWidth}, 20 + sublayers.size()) / 2);
      }
    }
    if (plan.final_norm) {
      final_norm = std::make_unique<Norm>(shape);
      initialise(*final_norm, 1);
      final_norm->convert(at::kDouble);
    }
    // Where gains are one and scales zero mistakes could hide.
    const c10::AutoGradMode no_grad(false);
    std::uint64_t seed = 50;
    for (const at::Tensor& leaf : parameters())
      leaf.add_(test::random_normal(leaf.sizes().vec(), seed++) * 0.3);
    x = test::random_normal({kRows, kWidth}, 9);
  }

  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto& s : sublayers)
      for (const Param* p : s->parameters()) all.push_back(p->value);
    if (final_norm != nullptr)
      for (const Param* p : final_norm->parameters()) all.push_back(p->value);
    return all;
  }

  at::Tensor forward(const Context& context) const {
    Stream stream;
    stream.x = x;
    at::Tensor layer_input;
    for (std::size_t i = 0; i < sublayers.size(); ++i) {
      if (i % 2 == 0) layer_input = stream.x;
      const auto branch = [&](const at::Tensor& u) { return u.matmul(matrices[i]).tanh(); };
      stream = sublayers[i]->forward(stream, branch, context, layer_input);
    }
    return read(stream, final_norm.get(), context);
  }
};

void for_each_scheme(const std::function<void(ResidualScheme, NormType)>& check) {
  for (const auto& [scheme, scheme_name] : EnumNames<ResidualScheme>::names)
    for (const auto& [norm, norm_name] : EnumNames<NormType>::names) {
      SCOPED_TRACE(std::string(scheme_name) + " " + norm_name);
      check(scheme, norm);
    }
}

TEST(Residual, GradientMatchesDifferences) {
  for_each_scheme([](ResidualScheme scheme, NormType norm) {
    const Stack stack(scheme, norm, 0.2);
    const at::Tensor upstream = test::random_normal({kRows, kWidth}, 8);
    std::vector<at::Tensor> leaves = stack.parameters();
    leaves.push_back(stack.x);
    leaves.push_back(stack.matrices[3]);
    for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
      SCOPED_TRACE(enum_name(path));
      const Context context{.training = true, .seed = 3, .step = 2, .ops = path};
      // Sums of 24 values of order 1 through eight sub-layers; the differences are good to 1e-9 of them.
      EXPECT_LT(test::gradient_error([&] { return (stack.forward(context) * upstream).sum(); }, leaves),
                1e-6);
    }
  });
}

TEST(Residual, BothPathsAreTheSameFunction) {
  for_each_scheme([](ResidualScheme scheme, NormType norm) {
    const Stack stack(scheme, norm, 0.2);
    const Context plain{.training = true, .seed = 3, .step = 2};
    Context fused = plain;
    fused.ops = OpPath::kFused;
    // Double on both: the order of a few operations.
    EXPECT_LT((stack.forward(plain) - stack.forward(fused)).abs().max().item<double>(), 1e-12);
  });
}

// The equations of spec/residual.h, written out.
TEST(Residual, AddsAndNormsAsTheSchemeSays) {
  const auto layer_norm = [](const at::Tensor& x) {
    const at::Tensor centred = x - x.mean({-1}, true);
    return centred / (centred.square().mean({-1}, true) + 1e-5).sqrt();
  };
  const NormShape shape{kWidth, NormType::kLayerNorm, 1e-5, false};
  const at::Tensor x = test::random_normal({kRows, kWidth}, 1),
                   input = test::random_normal({kRows, kWidth}, 2),
                   w = test::random_normal({kWidth, kWidth}, 3);
  const auto f = [&](const at::Tensor& u) { return u.matmul(w); };
  const auto out = [&](ResidualScheme scheme, std::size_t layer, std::size_t i) {
    Residual residual(plan_stack(scheme, StackShape::alone(4), MatrixInit::kFanIn).layers[layer][i], shape, 0,
                      "part");
    initialise(residual, 1);
    residual.convert(at::kDouble);
    Stream in;
    in.x = x;
    return residual.forward(in, f, {}, input).x;
  };
  const auto expect = [](const at::Tensor& got, const at::Tensor& expected) {
    EXPECT_LT((got - expected).abs().max().item<double>(), 1e-12);
  };
  const at::Tensor post = layer_norm(x + f(x)), pre = x + f(layer_norm(x));
  expect(out(ResidualScheme::kPreLn, 0, 0), pre);
  expect(out(ResidualScheme::kPostLn, 0, 0), post);
  expect(out(ResidualScheme::kNone, 0, 0), x + f(x));
  expect(out(ResidualScheme::kAdmin, 0, 0), post);
  expect(out(ResidualScheme::kFixup, 0, 0), x + f(x));
  expect(out(ResidualScheme::kReZero, 2, 1), x);
  expect(out(ResidualScheme::kSkipInit, 2, 0), x);
  const double start = 0.1f;  // drawn in fp32
  expect(out(ResidualScheme::kLayerScale, 0, 0), x + start * f(layer_norm(x)));
  expect(out(ResidualScheme::kDeepNorm, 0, 0), layer_norm(std::pow(8, 0.25) * x + f(x)));
  expect(out(ResidualScheme::kSandwichLn, 0, 0), x + layer_norm(f(layer_norm(x))));
  expect(out(ResidualScheme::kB2t, 0, 0), post);
  expect(out(ResidualScheme::kB2t, 0, 1), layer_norm(x + input + f(x)));
  expect(out(ResidualScheme::kMixLn, 0, 0), post);
  expect(out(ResidualScheme::kMixLn, 1, 0), pre);
  expect(out(ResidualScheme::kLayerNormScaling, 3, 0), x + f(layer_norm(x) / 2));
}

TEST(Residual, RefusesANormBeforeTheBranchWithTheLayersInput) {
  SubLayer record;
  record.norm_before = record.adds_layer_input = true;
  EXPECT_THROW(Residual(record, NormShape{kWidth}, 0, "mlp"), std::logic_error);
  record.norm_before = false;
  record.norm_after = true;
  EXPECT_NO_THROW(Residual(record, NormShape{kWidth}, 0, "mlp"));
}

}  // namespace
}  // namespace evenkeel::nn
