#include "evenkeel/train/spectra.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"
#include "tests/support/small_pairs.h"

namespace evenkeel::train {
namespace {

constexpr ops::PowerOptions kExact{1e-6, 2000};

double svd(const at::Tensor& a) {
  return at::linalg_svdvals(a.detach().to(at::kDouble)).max().item<double>();
}

TEST(Spectra, OfEveryMatrixAndEveryHeadsProduct) {
  const Experiment e = test::small_experiment(32, 2, 4);
  const auto model = build_model(e);
  Spectra spectra(*model);
  const Spectrum found = spectra.measure(pass_context(e.train), kExact);
  ASSERT_EQ(found.matrices.size(), 2u * 6 + 2) << "q, k, v, o, fc1, fc2 in two layers, head and embedding";
  for (const MatrixSpectrum& matrix : found.matrices)
    EXPECT_NEAR(matrix.top.sigma / svd(test::value_of(*model, matrix.parameter)), 1, 1e-5)
        << matrix.parameter;
  ASSERT_EQ(found.products.size(), 2u);
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    const std::string attention = "blocks." + std::to_string(layer) + ".attn.";
    const HeadSpectra& product = found.products[static_cast<std::size_t>(layer)];
    EXPECT_EQ(product.site, "layer0" + std::to_string(layer));
    for (std::int64_t h = 0; h < 4; ++h) {
      const at::Tensor q = test::value_of(*model, attention + "q.weight").narrow(0, 8 * h, 8),
                       k = test::value_of(*model, attention + "k.weight").narrow(0, 8 * h, 8);
      EXPECT_NEAR(product.heads[static_cast<std::size_t>(h)].sigma / svd(q.t().matmul(k)), 1, 1e-5);
    }
  }
}

TEST(Spectra, SeeTheMatricesInUse) {
  Experiment e = test::small_experiment();
  e.interventions.sigma_reparam = SigmaReparam::kOn;
  const auto model = build_model(e);
  Spectra spectra(*model);
  for (const MatrixSpectrum& matrix : spectra.measure(pass_context(e.train), kExact).matrices) {
    if (matrix.parameter.find("mlp") == std::string::npos) continue;
    EXPECT_NEAR(matrix.top.sigma, 1, 1e-5) << matrix.parameter;
  }
}

TEST(Spectra, OfAnUpdate) {
  const Experiment e = test::small_experiment();
  const auto model = build_model(e);
  Spectra spectra(*model);
  std::vector<at::Tensor> directions(spectra.matrices().size());
  const auto& shape = spectra.matrices()[1]->value;
  directions[1] = test::random_normal(shape.sizes().vec(), 5).to(at::kFloat);
  const auto updates = spectra.updates(directions, kExact);
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].parameter, spectra.matrices()[1]->name);
  EXPECT_NEAR(updates[0].top.sigma / svd(directions[1]), 1, 1e-5);
  EXPECT_NEAR(updates[0].bound,
              directions[1].square().sum().sqrt().item<double>() /
                  std::sqrt(static_cast<double>(std::min(shape.size(0), shape.size(1)))),
              1e-5);
  EXPECT_LE(updates[0].bound, updates[0].top.sigma);
}

TEST(Spectra, GoOnFromTheirState) {
  const Experiment e = test::small_experiment();
  const auto model = build_model(e);
  Spectra whole(*model), resumed(*model);
  whole.measure(pass_context(e.train));
  const auto saved = whole.state(), into = resumed.state();
  for (std::size_t i = 0; i < saved.size(); ++i) into[i].second.copy_(saved[i].second);
  const Spectrum a = whole.measure(pass_context(e.train)), b = resumed.measure(pass_context(e.train));
  for (std::size_t i = 0; i < a.matrices.size(); ++i) {
    EXPECT_EQ(a.matrices[i].top.sigma, b.matrices[i].top.sigma);
    EXPECT_EQ(a.matrices[i].top.residual, b.matrices[i].top.residual);
  }
  for (std::size_t i = 0; i < a.products.size(); ++i)
    for (std::size_t h = 0; h < a.products[i].heads.size(); ++h)
      EXPECT_EQ(a.products[i].heads[h].sigma, b.products[i].heads[h].sigma);
}

// The same queries and keys reach the check from both paths, with every transform and a temperature.
TEST(CheckEntropy, SeesWhatEntersTheProductOnBothPaths) {
  for (const QkNorm norm : {QkNorm::kOff, QkNorm::kPerHead, QkNorm::kPerHeadOwn, QkNorm::kWholeDim})
    for (const double temperature : {1.0, 0.2}) {
      Experiment e = test::small_experiment();
      e.interventions.qk_norm = norm;
      const auto model = build_model(e);
      const at::Tensor inputs = test::random_batch(e, 1, 1).first;
      std::vector<std::vector<EntropyChecks>> both;
      for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
        nn::Context context = pass_context(e.train);
        context.ops = path;
        context.temperature = temperature;
        both.push_back(check_entropy(*model, {inputs}, 0, context));
      }
      ASSERT_EQ(both[0].size(), 2u);
      for (std::size_t layer = 0; layer < 2; ++layer)
        for (std::size_t h = 0; h < 2; ++h) {
          const ops::EntropyCheck &plain = both[0][layer].heads[h], &fused = both[1][layer].heads[h];
          EXPECT_FALSE(plain.violated);
          EXPECT_FALSE(fused.violated);
          EXPECT_NEAR(plain.bound, fused.bound, 1e-4);
          EXPECT_NEAR(plain.slack, fused.slack, 1e-5);
        }
    }
}

// Encoder, decoder and the decoder's attention to the memory, of a pair within a padded batch.
TEST(CheckEntropy, SeesAllAttentionsOfAPairWithoutItsPadding) {
  for (const QkNorm norm : {QkNorm::kOff, QkNorm::kPerHead, QkNorm::kWholeDim}) {
    Experiment e = test::small_pair_experiment();
    e.interventions.qk_norm = norm;
    const auto model = build_model(e);
    const models::Batch batch = test::random_pairs(e, {4, 9, 2}, {6, 5, 8}, 1, 11, 10);
    std::vector<std::vector<EntropyChecks>> paths;
    for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
      nn::Context context = pass_context(e.train);
      context.ops = path;
      paths.push_back(check_entropy(*model, batch, 1, context));
      // Two keys attain the bound whatever they are: nothing to check in a source of two.
      const auto two = check_entropy(*model, batch, 2, context);
      for (const EntropyChecks& check : two)
        EXPECT_EQ(check.heads.size(), check.site.starts_with("decoder_") ? 2u : 0u) << check.site;
    }
    std::vector<std::string> sites;
    for (std::size_t i = 0; i < paths[0].size(); ++i) {
      sites.push_back(paths[0][i].site);
      ASSERT_EQ(paths[0][i].heads.size(), 2u);
      for (std::size_t h = 0; h < 2; ++h) {
        const ops::EntropyCheck &plain = paths[0][i].heads[h], &fused = paths[1][i].heads[h];
        EXPECT_FALSE(plain.violated || fused.violated);
        EXPECT_GT(plain.bound, 0);
        EXPECT_NEAR(plain.bound, fused.bound, 1e-4);
        EXPECT_NEAR(plain.slack, fused.slack, 1e-5);
      }
    }
    EXPECT_EQ(sites, (std::vector<std::string>{"encoder_layer00", "encoder_layer01", "decoder_layer00",
                                               "cross_layer00", "decoder_layer01", "cross_layer01"}));
  }
}

// A sink is one logit more; of weights that are no distribution there is nothing to check, and nothing is
// recorded.
TEST(CheckEntropy, KnowsSinksAndSaysWhereThereIsNoDistribution) {
  for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
    Experiment e = test::small_pair_experiment();
    const models::Batch batch = test::random_pairs(e, {4, 9, 2}, {6, 5, 8}, 1, 11, 10);
    e.interventions.attention_sink = AttentionSink::kLearnable;
    nn::Context context = pass_context(e.train);
    context.ops = path;
    const auto sinks = build_model(e);
    for (const EntropyChecks& check : check_entropy(*sinks, batch, 1, context)) {
      ASSERT_EQ(check.heads.size(), 2u);
      for (const ops::EntropyCheck& head : check.heads) {
        EXPECT_FALSE(head.violated);
        EXPECT_GT(head.bound, 0);
        EXPECT_GE(head.slack, -1e-9);
      }
    }
    e.interventions.attention_sink = AttentionSink::kOff;
    e.interventions.attention_function = AttentionFunction::kSquaredRelu;
    const auto squared = build_model(e);
    const auto checks = check_entropy(*squared, batch, 1, context);
    ASSERT_EQ(checks.size(), 6u);
    for (const EntropyChecks& check : checks) {
      EXPECT_TRUE(check.heads.empty());
      EXPECT_STREQ(check.why, "its weights are no distribution");
    }
    telemetry::Recorder recorder;
    recorder.begin(7, 0);
    EXPECT_TRUE(record(checks, 7, recorder).empty());
  }
}

TEST(CheckEntropy, AViolationIsAnEvent) {
  telemetry::Recorder recorder;
  recorder.begin(7, 0);
  const std::vector<EntropyChecks> checks{{"layer00", {{0.5, 1, false}, {-0.1, 1, true}}, ""}};
  const auto events = record(checks, 7, recorder);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0],
            (Json{{"step", 7}, {"kind", "bound_violated"}, {"layer", 0}, {"head", 1}, {"slack", -0.1}}));
  EXPECT_EQ(recorder.heads_record()->at("attn/layer00/entropy_slack"), (Json{0.5, -0.1}));
}

}  // namespace
}  // namespace evenkeel::train
