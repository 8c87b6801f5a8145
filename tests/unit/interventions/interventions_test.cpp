#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evenkeel/interventions/qk_norm.h"
#include "evenkeel/interventions/registry.h"
#include "evenkeel/models/registry.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"
#include "tests/support/stat_recorder.h"

namespace evenkeel::interventions {
namespace {

constexpr QkNorm kVariants[] = {QkNorm::kPerHead, QkNorm::kPerHeadOwn, QkNorm::kWholeDim};

/// The registry names every field of InterventionsSpec, so no treatment can be declared and forgotten.
TEST(Interventions, EveryFieldIsRegistered) {
  std::vector<std::string> fields, registered;
  InterventionsSpec spec;
  InterventionsSpec::fields(spec, [&](const char* name, auto&& field, const FieldInfo& = {}) {
    // A section holds the settings of a treatment and is none itself.
    if (!ConfigStruct<std::remove_cvref_t<decltype(field)>>) fields.push_back(name);
  });
  for (const Intervention& intervention : all()) registered.push_back(intervention.field);
  EXPECT_EQ(fields, registered);
}

TEST(Interventions, EveryOneBuildsOnEveryModel) {
  for (const auto& [family, family_name] : EnumNames<Family>::names)
    for (const auto& [kind, kind_name] : EnumNames<QkNorm>::names)
      for (const bool bias : {false, true})
        for (const double z : {0.0, 1e-4}) {
          Experiment e = test::small_experiment();
          e.arch.family = family;
          e.arch.bias = bias;
          e.interventions.qk_norm = kind;
          e.interventions.z_loss = z;
          const auto model = train::build_model(e);
          const auto [inputs, targets] = test::random_batch(e, 2, 1);
          const bool pairs = family == Family::kSeq2Seq;
          const models::Batch batch{inputs, targets, pairs ? inputs : at::Tensor()};
          ops::Loss loss =
              ops::cross_entropy_plain(model->forward(batch, {}), targets, {model->objective.z_coefficient});
          loss.total.backward();
          EXPECT_TRUE(std::isfinite(loss.ce)) << family_name << " " << kind_name;
          EXPECT_EQ(loss.z > 0, z > 0);
          for (const nn::Param* p : model->parameters()) {
            // Every parameter is used: a treatment that is built but never called would show here.
            ASSERT_TRUE(p->value.grad().defined()) << kind_name << " " << p->name;
            // A key bias shifts a row of logits by a constant that softmax ignores, save for the rotation,
            // which sinusoids are not.
            if (pairs && p->name.ends_with(".k.bias")) continue;
            EXPECT_GT(p->value.grad().abs().max().item<double>(), 0) << kind_name << " " << p->name;
          }
        }
}

TEST(Interventions, OffIsTheBareFamilyToTheBit) {
  Experiment e = test::small_experiment();
  e.interventions.qk_norm = QkNorm::kOff;
  e.interventions.z_loss = 0;
  const auto treated = train::build_model(e);
  const auto bare = models::build_family(e);
  nn::initialise(*bare, static_cast<std::uint64_t>(e.train.seed));
  const auto [inputs, targets] = test::random_batch(e, 2, 1);
  const at::Tensor a = treated->forward(inputs, {}), b = bare->forward(inputs, {});
  EXPECT_TRUE(a.detach().equal(b.detach()));
  ops::cross_entropy_plain(a, targets, {treated->objective.z_coefficient}).total.backward();
  ops::cross_entropy_plain(b, targets, {0}).total.backward();
  const auto pa = treated->parameters(), pb = bare->parameters();
  ASSERT_EQ(pa.size(), pb.size());
  for (std::size_t i = 0; i < pa.size(); ++i) EXPECT_TRUE(pa[i]->value.grad().equal(pb[i]->value.grad()));
}

TEST(Interventions, ATreatmentLeavesTheOtherParametersAsTheyWere) {
  Experiment e = test::small_experiment();
  const auto off = train::build_model(e);
  e.interventions.qk_norm = QkNorm::kPerHead;
  const auto on = train::build_model(e);
  std::map<std::string, at::Tensor> values;
  for (const nn::Param* p : on->parameters()) values[p->name] = p->value;
  for (const nn::Param* p : off->parameters()) EXPECT_TRUE(values.at(p->name).equal(p->value)) << p->name;
}

TEST(QkNorm, GainShapes) {
  const std::map<QkNorm, std::vector<std::int64_t>> expected{
      {QkNorm::kPerHead, {16}}, {QkNorm::kPerHeadOwn, {2, 16}}, {QkNorm::kWholeDim, {32}}};
  for (const QkNorm kind : kVariants) {
    Experiment e = test::small_experiment();
    e.interventions.qk_norm = kind;
    int found = 0;
    const auto model = train::build_model(e);
    for (const nn::Param* p : model->parameters()) {
      if (!p->name.ends_with("q_norm.gain") && !p->name.ends_with("k_norm.gain")) continue;
      ++found;
      EXPECT_EQ(p->value.sizes().vec(), expected.at(kind));
      EXPECT_EQ(p->role, nn::Role::kGain);
    }
    EXPECT_EQ(found, 4);
  }
}

double largest_logit(models::Model& model, const at::Tensor& inputs) {
  test::StatRecorder recorder;
  model.forward(inputs, {.stats = &recorder});
  double largest = 0;
  for (const auto& [key, values] : recorder.values)
    if (key.ends_with("logit_absmax"))
      for (const double v : values) largest = std::max(largest, v);
  return largest;
}

// A8: |logit| <= sqrt(K) max|g_q| max|g_k| when statistics are per head.
TEST(QkNorm, BoundsTheLogits) {
  for (const QkNorm kind : {QkNorm::kPerHead, QkNorm::kPerHeadOwn}) {
    Experiment e = test::small_experiment();
    e.interventions.qk_norm = kind;
    const auto model = train::build_model(e);
    const at::Tensor inputs = test::random_batch(e, 4, 1).first;
    c10::AutoGradMode no_grad(false);
    for (nn::Param* p : model->parameters()) {
      if (p->name.ends_with("q.weight") || p->name.ends_with("k.weight")) p->value.mul_(1e4);
      if (p->name.ends_with("q_norm.gain")) p->value.mul_(2.5);
      if (p->name.ends_with("k_norm.gain")) p->value.mul_(-0.5);
    }
    const double bound = 4 * 2.5 * 0.5;
    EXPECT_LE(largest_logit(*model, inputs), bound * (1 + 1e-6));  // fp32 rounding of a sum of 16
    EXPECT_GT(largest_logit(*model, inputs), bound / 3);
  }
}

// A8: K = 16, unit gains, aligned queries and keys of unit variance: sqrt(16) less the effect of eps = 1e-6.
TEST(QkNorm, AlignedVectorsReachTheBound) {
  at::Tensor x = test::random_normal({1, 1, 1, 16}, 1);
  x = x - x.mean();
  x = x / (x * x).mean().sqrt();
  Experiment e = test::small_experiment(16, 1, 1);
  e.interventions.qk_norm = QkNorm::kPerHead;
  const auto model = train::build_model(e);
  model->convert(at::kDouble);
  test::StatRecorder recorder;
  model->visit([&](nn::Module& module) {
    auto* attention = dynamic_cast<nn::Attention*>(&module);
    if (attention == nullptr) return;
    c10::AutoGradMode no_grad(false);
    // Identity projections: query and key are the input itself; at one position the rotation is the same for
    // both.
    for (nn::Param* p : {&attention->q.weight, &attention->k.weight}) {
      p->value.zero_();
      p->value.fill_diagonal_(1);
    }
    attention->forward(x.view({1, 16}), 1, {.stats = &recorder});
  });
  EXPECT_NEAR(recorder.values.at("attn/layer00/logit_max")[0], 3.999996, 1e-9);
}

// A8: the size of W_q does not matter beyond eps.
TEST(QkNorm, LogitsDoNotDependOnTheScaleOfTheQueryWeights) {
  for (const QkNorm kind : kVariants) {
    Experiment e = test::small_experiment(32, 1);
    e.interventions.qk_norm = kind;
    const auto model = train::build_model(e);
    model->convert(at::kDouble);
    const at::Tensor inputs = test::random_batch(e, 2, 1).first;
    const at::Tensor before = model->forward(inputs, {}).detach();
    test::StatRecorder first, second;
    model->forward(inputs, {.stats = &first});
    c10::AutoGradMode no_grad(false);
    for (nn::Param* p : model->parameters())
      if (p->name.ends_with("attn.q.weight")) p->value.mul_(1000);
    model->forward(inputs, {.stats = &second});
    for (const char* name : {"logit_max", "logit_rms"})
      for (std::size_t h = 0; h < 2; ++h) {
        const std::string key = std::string("attn/layer00/") + name;
        const double largest = first.values.at("attn/layer00/logit_absmax")[h];
        EXPECT_NEAR(first.values.at(key)[h], second.values.at(key)[h], 1e-5 * largest) << key;
      }
    EXPECT_LT((model->forward(inputs, {}).detach() - before).abs().max().item<double>(), 1e-4);
  }
}

}  // namespace
}  // namespace evenkeel::interventions
