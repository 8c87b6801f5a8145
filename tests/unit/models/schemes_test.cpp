// Every residual scheme in a whole model.
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <functional>

#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/op_paths.h"
#include "tests/support/compare.h"
#include "tests/support/small_model.h"

namespace evenkeel::models {
namespace {

Experiment experiment(ResidualScheme scheme) {
  Experiment e = test::small_experiment(32, 4);
  e.arch.residual = scheme;
  return e;
}

/// Gains, omegas and scales start at 1 and 0, where a mistake in their use could hide.
void perturb(Model& model) {
  const c10::AutoGradMode no_grad(false);
  std::uint64_t seed = 50;
  for (const nn::Param* p : model.parameters())
    if (!p->is_matrix() || p->init == nn::Init::kZeros)
      p->value.add_(test::random_normal(p->value.sizes().vec(), seed++, p->value.scalar_type()) * 0.2);
}

void for_each_scheme(const std::function<void(const Experiment&)>& check) {
  for (const auto& [scheme, name] : EnumNames<ResidualScheme>::names) {
    SCOPED_TRACE(name);
    check(experiment(scheme));
  }
}

struct Pass {
  at::Tensor logits;
  std::unique_ptr<Model> model;
};

Pass pass(const Experiment& e, const nn::Context& context, at::ScalarType type = at::kFloat) {
  Pass p;
  p.model = train::build_model(e);
  perturb(*p.model);
  if (type == at::kDouble) p.model->convert(type);
  const auto [inputs, targets] = test::random_batch(e, 3, 1);
  p.logits = p.model->forward(inputs, context);
  ops::cross_entropy_plain(p.logits.scalar_type() == at::kBFloat16 ? p.logits.to(at::kFloat) : p.logits,
                           targets, {1e-4})
      .total.backward();
  return p;
}

void expect_near(const Pass& got, const Pass& expected, double tolerance) {
  EXPECT_LT(test::distance(got.logits, expected.logits), tolerance) << "logits";
  const auto a = got.model->parameters(), b = expected.model->parameters();
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(a[i]->value.grad().defined()) << a[i]->name;
    EXPECT_LT(test::distance(a[i]->value.grad(), b[i]->value.grad()), tolerance) << a[i]->name;
  }
}

nn::Context context_of(OpPath path, Precision precision = Precision::kFp32) {
  return {.training = true, .seed = 3, .step = 7, .precision = precision, .ops = path};
}

TEST(Schemes, FusedIsPlain) {
  for_each_scheme([](Experiment e) {
    for (const NormType norm : {NormType::kLayerNorm, NormType::kRmsNorm})
      for (const double dropout : {0.0, 0.2}) {
        e.arch.norm = norm;
        e.arch.dropout = dropout;
        e.arch.bias = dropout > 0;
        const Pass exact = pass(e, context_of(OpPath::kPlain), at::kDouble);
        // Eight sub-layers, each of which multiplies what the last rounded.
        expect_near(pass(e, context_of(OpPath::kFused)), exact, 10 * test::kFp32);
        expect_near(pass(e, context_of(OpPath::kPlain)), exact, 10 * test::kFp32);
        expect_near(pass(e, context_of(OpPath::kFused), at::kDouble), exact, 1e-9);
      }
  });
}

TEST(Schemes, Bf16StaysNearFp32) {
  for_each_scheme([](const Experiment& e) {
    const Pass wide = pass(e, context_of(OpPath::kFused)),
               narrow = pass(e, context_of(OpPath::kFused, Precision::kBf16));
    // The largest of thousands of values, roundings of 2^-9 through eight sub-layers.
    EXPECT_LT(test::distance(narrow.logits, wide.logits), 3 * test::kBf16);
  });
}

TEST(Schemes, BitsDoNotDependOnThreadsWhereTheManifestSaysSo) {
  for_each_scheme([](Experiment e) {
    e.arch.dropout = 0.2;
    e.train.ops = OpPath::kFused;
    ops::set_threads(1);
    const Pass one = pass(e, context_of(OpPath::kFused));
    ops::set_threads(3);
    const Pass three = pass(e, context_of(OpPath::kFused));
    ops::set_threads(1);
    const std::vector<nn::OpUse> optimiser{{"adamw", OpPath::kFused, "", true}};
    if (!train::op_paths(*one.model, e.train, optimiser).at("thread_invariant").get<bool>()) return;
    EXPECT_TRUE(one.logits.equal(three.logits));
    const auto a = one.model->parameters(), b = three.model->parameters();
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(a[i]->value.grad().equal(b[i]->value.grad())) << a[i]->name;
  });
}

TEST(Schemes, TheManifestNamesWhatHasNoKernel) {
  const auto each = [](ResidualScheme scheme, double dropout) {
    Experiment e = experiment(scheme);
    e.arch.dropout = dropout;
    e.train.ops = OpPath::kFused;
    const auto model = train::build_model(e);
    return train::op_paths(*model, e.train, {nn::OpUse{"adamw", OpPath::kFused, "", true}});
  };
  EXPECT_EQ(each(ResidualScheme::kSubLn, 0).at("each").at("mlp").at("path"), "plain");
  EXPECT_EQ(each(ResidualScheme::kFixup, 0).at("each").at("shift").at("path"), "plain");
  EXPECT_FALSE(each(ResidualScheme::kFixup, 0).at("thread_invariant").get<bool>());
  EXPECT_EQ(each(ResidualScheme::kPeriLn, 0.1).at("each").at("branch_dropout").at("path"), "plain");
  EXPECT_FALSE(each(ResidualScheme::kPeriLn, 0).at("each").contains("branch_dropout"));
  for (const ResidualScheme scheme :
       {ResidualScheme::kPreLn, ResidualScheme::kAdmin, ResidualScheme::kDeepNorm})
    EXPECT_TRUE(each(scheme, 0.1).at("thread_invariant").get<bool>());
}

TEST(Schemes, Learn) {
  for_each_scheme([](Experiment e) {
    e.optim.weight_decay = 0;
    const auto model = train::build_model(e);
    const auto [inputs, targets] = test::random_batch(e, 4, 1);
    const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
    double first = 0, last = 0;
    for (int i = 0; i < 40; ++i) {
      const ops::Loss loss =
          ops::cross_entropy_plain(model->forward(inputs, {.ops = OpPath::kFused}), targets, {1e-4});
      loss.total.backward();
      optimiser->step(0.005);
      optimiser->zero_grad();
      (i == 0 ? first : last) = loss.ce;
    }
    EXPECT_LT(last, 0.8 * first);
  });
}

TEST(Schemes, MatricesStartAsPlanned) {
  Experiment e = test::small_experiment(64, 4, 4);
  const auto std_of = [&](const std::string& name) {
    const auto model = train::build_model(e);
    for (const nn::Param* p : model->parameters())
      if (p->name == name) return p->value.detach().square().mean().sqrt().item<double>();
    throw std::logic_error(name);
  };
  e.arch.init = MatrixInit::kXavier;
  // 4096 and 16384 values: their standard deviation is good to 1.1 and 0.6 %.
  EXPECT_NEAR(std_of("blocks.1.attn.q.weight"), 1 / std::sqrt(128.0), 0.004);
  EXPECT_NEAR(std_of("blocks.1.mlp.fc1.weight"), std::sqrt(0.4 / 64), 0.002);
  e.arch.residual = ResidualScheme::kDsInit;
  EXPECT_NEAR(std_of("blocks.3.mlp.fc1.weight"), std::sqrt(0.4 / 64) / 2, 0.001);
  e.arch.residual = ResidualScheme::kFixup;
  EXPECT_EQ(std_of("blocks.0.mlp.fc2.weight"), 0);
  e.arch.residual = ResidualScheme::kTFixup;
  EXPECT_NEAR(std_of("embed.weight"), std::pow(36, -0.25) / 8, 0.003);
}

}  // namespace
}  // namespace evenkeel::models
