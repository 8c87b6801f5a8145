#include "evenkeel/nn/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "evenkeel/nn/context.h"
#include "tests/support/small_model.h"

namespace evenkeel::nn {
namespace {

struct Recorder : StatSink {
  std::map<std::string, std::vector<double>> values;
  void heads(std::string_view key, std::vector<double> v) override {
    values[std::string(key)] = std::move(v);
  }
  void scalar(std::string_view, double) override {}
};

using Statistics = std::map<std::string, std::vector<double>>;

/// What a decoder-only model's attention is (rotary) or an encoder-decoder's.
AttentionShape shape_of(bool rotary) {
  AttentionShape shape;
  shape.width = 16;
  shape.heads = 2;
  shape.context = 12;
  shape.rotary = rotary;
  return shape;
}

Statistics statistics(Attention& attention, const at::Tensor& x, std::int64_t batch, Context context) {
  Recorder recorder;
  context.stats = &recorder;
  attention.forward(x, batch, context);
  return recorder.values;
}

TEST(Attention, BothPathsReportTheSameStatisticsAtAnyTemperature) {
  for (const bool rotary : {true, false})
    for (const double temperature : {1.0, 0.1, 3.0}) {
      Attention attention(shape_of(rotary), "layer00");
      initialise(attention, 1);
      const at::Tensor x = test::random_normal({24, 16}, 2, at::kFloat);
      const auto run = [&](OpPath path) {
        return statistics(attention, x, 2, {.ops = path, .temperature = temperature});
      };
      const Statistics plain = run(OpPath::kPlain), fused = run(OpPath::kFused);
      ASSERT_EQ(plain.size(), 8u);
      for (const auto& [key, values] : plain)
        for (std::size_t h = 0; h < values.size(); ++h)  // sums of some hundred fp32 terms
          EXPECT_NEAR(values[h], fused.at(key)[h], 1e-5 * (1 + std::abs(values[h])))
              << key << " rotary " << rotary << " temperature " << temperature;
      for (const double cosine : plain.at("attn/layer00/qk_cosine")) EXPECT_LE(std::abs(cosine), 1);
    }
}

TEST(Attention, InBf16ThePlainPathRoundsTheProductsOfEveryFamily) {
  for (const bool rotary : {true, false}) {
    Attention attention(shape_of(rotary), "layer00");
    initialise(attention, 1);
    {
      const c10::AutoGradMode no_grad(false);
      for (Linear* layer : {&attention.q, &attention.k}) {
        layer->weight.value.zero_();
        layer->weight.value.fill_diagonal_(1);
      }
    }
    // One token, whose position turns nothing; 129/128 squared is 1.0157, which bf16 does not have.
    at::Tensor x = at::zeros({1, 16}, at::kFloat);
    x[0][0] = 129.0f / 128;
    const auto logit = [&](Precision precision) {
      return statistics(attention, x, 1, {.precision = precision}).at("attn/layer00/logit_max")[0];
    };
    EXPECT_NEAR(logit(Precision::kFp32), 129.0 * 129 / (128 * 128) / std::sqrt(8.0), 1e-7) << rotary;
    EXPECT_NEAR(logit(Precision::kBf16), 130.0 / 128 / std::sqrt(8.0), 1e-7) << rotary;
  }
}

TEST(Attention, OfALogitThatIsNaNTheEntropyIsNaNOnBothPaths) {
  for (const bool rotary : {true, false})
    for (const OpPath path : {OpPath::kPlain, OpPath::kFused}) {
      Attention attention(shape_of(rotary), "layer00");
      initialise(attention, 1);
      at::Tensor x = test::random_normal({12, 16}, 2, at::kFloat);
      x[7][3] = std::nan("");
      const Statistics all = statistics(attention, x, 1, {.ops = path});
      for (const auto& [key, values] : all) EXPECT_TRUE(std::isnan(values[0])) << key << " " << values[0];
    }
}

/// A treatment of queries and keys, and one of weights, that do nothing.
struct Keep : HeadTransform {
  at::Tensor forward(const at::Tensor& x) const override { return x; }
};
struct KeepWeights : WeightTransform {
  using WeightTransform::WeightTransform;
  std::vector<at::Tensor> forward(const Context&) const override {
    std::vector<at::Tensor> all;
    for (const Linear* layer : members()) all.push_back(layer->weight.value);
    return all;
  }
  void adopt() override {}
};

/// What `fill` says when it throws std::logic_error; "" when it does not.
template <class Fill>
std::string refusal(const Fill& fill) {
  try {
    fill();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

TEST(Attention, ASlotRefusesASecondOccupantAndKeepsTheFirst) {
  Attention attention(shape_of(true), "layer00");
  const auto expect_refused = [&](const auto& fill, const std::string& first, const std::string& second) {
    EXPECT_EQ(refusal([&] { fill(first); }), "");
    const auto before = attention.parameters().size();
    const std::string said = refusal([&] { fill(second); });
    EXPECT_NE(said.find('"' + first + '"'), std::string::npos) << said;
    EXPECT_NE(said.find('"' + second + '"'), std::string::npos) << said;
    EXPECT_EQ(attention.parameters().size(), before);
  };
  expect_refused(
      [&](const std::string& name) {
        attention.set_transforms(name, std::make_unique<Keep>(), std::make_unique<Keep>());
      },
      "norm", "kappa");
  expect_refused(
      [&](const std::string& name) {
        attention.set_weight_transform(
            name, std::make_unique<KeepWeights>(std::vector<Linear*>{&attention.q, &attention.k}));
      },
      "sigma", "weight_norm");
  // The same slot, from the side of one matrix.
  const std::string said = refusal([&] {
    attention.k.set_weight_transform("own",
                                     std::make_unique<KeepWeights>(std::vector<Linear*>{&attention.k}));
  });
  EXPECT_NE(said.find("\"sigma\""), std::string::npos) << said;
  expect_refused([&](const std::string&) { attention.set_inner_norm(std::make_unique<Norm>(NormShape{16})); },
                 "inner_norm", "inner_norm");
  // A sink is a part of what makes weights: one slot.
  attention.set_sink(true);
  const auto before = attention.parameters().size();
  const auto square = [&](Attention& of) {
    of.set_weight_rule("attention_function", kernels::WeightRule::kSquaredRelu);
  };
  for (const std::string& refused :
       {refusal([&] { attention.set_sink(true); }), refusal([&] { square(attention); })})
    EXPECT_NE(refused.find("\"sink\""), std::string::npos) << refused;
  EXPECT_EQ(attention.parameters().size(), before);
  Attention squared(shape_of(true), "layer00");
  square(squared);
  EXPECT_NE(refusal([&] { squared.set_sink(false); }).find("\"attention_function\""), std::string::npos);
}

TEST(Attention, RoomForALongContextIsLinearInIt) {
  AttentionShape shape = shape_of(true);
  shape.width = 4;
  shape.context = 1 << 20;
  Attention attention(shape, "layer00");  // a number for each pair of positions would be four terabytes
  EXPECT_EQ(attention.shape().context, shape.context);
}

}  // namespace
}  // namespace evenkeel::nn
