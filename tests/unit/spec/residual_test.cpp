#include "evenkeel/spec/residual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace evenkeel {
namespace {

constexpr double kFourDecimals = 5e-5;

// Check 13 of Admin's: the constants of the papers as tables.
TEST(ResidualConstants, DeepNorm) {
  struct Row {
    std::int64_t n, m;
    double encoder_alpha, encoder_beta, decoder_alpha, decoder_beta, alpha, beta;
  };
  for (const Row& r : {Row{6, 6, 1.4179, 0.4970, 2.0598, 0.3433, 1.8612, 0.3799},
                       Row{12, 12, 1.7609, 0.4002, 2.4495, 0.2887, 2.2134, 0.3195},
                       Row{18, 18, 1.9987, 0.3526, 2.7108, 0.2608, 2.4495, 0.2887},
                       Row{60, 12, 2.6331, 0.2676, 2.4495, 0.2887, 3.3098, 0.2136},
                       Row{100, 100, 3.4157, 0.2063, 4.1618, 0.1699, 3.7606, 0.1880}}) {
    const DeepNormConstants encoder = deepnorm_constants(StackShape::encoder(r.n, r.m)),
                            decoder = deepnorm_constants(StackShape::decoder(r.n, r.m)),
                            alone = deepnorm_constants(StackShape::alone(r.n));
    EXPECT_NEAR(encoder.alpha, r.encoder_alpha, kFourDecimals);
    EXPECT_NEAR(encoder.beta, r.encoder_beta, kFourDecimals);
    EXPECT_NEAR(decoder.alpha, r.decoder_alpha, kFourDecimals);
    EXPECT_NEAR(decoder.beta, r.decoder_beta, kFourDecimals);
    EXPECT_NEAR(alone.alpha, r.alpha, kFourDecimals);
    EXPECT_NEAR(alone.beta, r.beta, kFourDecimals);
  }
}

TEST(ResidualConstants, TFixupSubLnAndAdminTorch) {
  const auto expect = [](std::int64_t layers, double t_encoder, double t_decoder, double alone,
                         double encoder, double decoder) {
    EXPECT_NEAR(t_fixup_gain(StackShape::encoder(layers, layers)), t_encoder, kFourDecimals);
    EXPECT_NEAR(t_fixup_gain(StackShape::decoder(layers, layers)), t_decoder, kFourDecimals);
    EXPECT_NEAR(sub_ln_gain(StackShape::alone(layers)), alone, kFourDecimals);
    EXPECT_NEAR(sub_ln_gain(StackShape::encoder(layers, layers)), encoder, kFourDecimals);
    EXPECT_NEAR(sub_ln_gain(StackShape::decoder(layers, layers)), decoder, kFourDecimals);
  };
  expect(6, 0.4281, 0.3689, 1.5764, 1.5473, 1.7001);
  expect(12, 0.3600, 0.3102, 1.7827, 1.9484, 1.8930);
  expect(18, 0.3253, 0.2803, 1.8930, 2.1829, 1.9972);
  for (const auto& [sublayers, log_n, one] :
       {std::tuple{12, 2.0170, 3.4641}, std::tuple{18, 2.3351, 4.2426}, std::tuple{36, 3.0408, 6.0},
        std::tuple{54, 3.5672, 7.3485}, std::tuple{200, 6.0746, 14.1421}, std::tuple{300, 7.1931, 17.3205}}) {
    EXPECT_NEAR(admin_start(AdminStart::kLogN, sublayers), log_n, kFourDecimals);
    EXPECT_NEAR(admin_start(AdminStart::kOne, sublayers), one, kFourDecimals);
    EXPECT_EQ(admin_start(AdminStart::kN, sublayers), 1);
  }
}

TEST(StackPlan, HasTheSubLayersOfItsStack) {
  for (const auto& [scheme, name] : EnumNames<ResidualScheme>::names) {
    for (const StackShape& shape :
         {StackShape::alone(6), StackShape::encoder(6, 3), StackShape::decoder(6, 3), StackShape::alone(0)}) {
      const StackPlan plan = plan_stack(scheme, shape, MatrixInit::kFanIn);
      ASSERT_EQ(std::ssize(plan.layers), shape.layers()) << name;
      for (const auto& layer : plan.layers) {
        ASSERT_EQ(std::ssize(layer), shape.sublayers_per_layer()) << name;
        EXPECT_EQ(layer.front().branch, BranchKind::kSelfAttention);
        EXPECT_EQ(layer.back().branch, BranchKind::kMlp);
        for (const SubLayer& s : layer) {
          EXPECT_FALSE(s.norm_before && s.norm_after) << name;
          EXPECT_FALSE(s.shortcut.shape != Scale::Shape::kNone && s.branch_scale.shape != Scale::Shape::kNone)
              << name;
        }
      }
      // A stream that ends without norm is normed before it is read, or nowhere.
      if (shape.layers() > 0 && plan.layers.back().back().norm_before) {
        EXPECT_TRUE(plan.final_norm) << name;
      }
      if (shape.layers() > 0 && plan.layers.back().back().norm_after) {
        EXPECT_FALSE(plan.final_norm) << name;
      }
    }
  }
}

TEST(StackPlan, DepthEntersAsThePapersSay) {
  const auto sublayer = [](ResidualScheme scheme, const StackShape& shape, std::size_t layer, std::size_t i) {
    return plan_stack(scheme, shape, MatrixInit::kFanIn).layers[layer][i];
  };
  const SubLayer ds = sublayer(ResidualScheme::kDsInit, StackShape::alone(9), 8, 1);
  EXPECT_DOUBLE_EQ(ds.gains.w1, 1.0 / 3);
  EXPECT_DOUBLE_EQ(ds.gains.q, 1.0 / 3);
  // 2 * 6 + 3 * 4 = 24 branches of an encoder-decoder.
  const SubLayer fixup = sublayer(ResidualScheme::kFixup, StackShape::decoder(6, 4), 1, 0);
  EXPECT_DOUBLE_EQ(fixup.gains.w1, 1 / std::sqrt(24.0));
  EXPECT_DOUBLE_EQ(fixup.gains.v, std::pow(24.0, -1.0 / 6));
  EXPECT_EQ(fixup.gains.w2, 0);
  EXPECT_EQ(fixup.gains.o, 0);
  EXPECT_DOUBLE_EQ(sublayer(ResidualScheme::kLayerNormScaling, StackShape::alone(4), 3, 0).norm_before_factor,
                   0.5);
  for (std::size_t layer = 0; layer < 12; ++layer)
    EXPECT_EQ(sublayer(ResidualScheme::kMixLn, StackShape::alone(12), layer, 1).norm_after, layer < 3);
  EXPECT_EQ(layer_scale_start(18), 0.1);
  EXPECT_EQ(layer_scale_start(24), 1e-5);
  EXPECT_EQ(layer_scale_start(36), 1e-6);
  EXPECT_DOUBLE_EQ(
      plan_stack(ResidualScheme::kTFixup, StackShape::encoder(9, 4), MatrixInit::kFanIn).embedding_gain,
      1.0 / 3);
  const SubLayer cross = sublayer(ResidualScheme::kSubLn, StackShape::decoder(6, 6), 0, 1);
  EXPECT_EQ(cross.branch, BranchKind::kCrossAttention);
  EXPECT_FALSE(cross.norm_inside);
  EXPECT_EQ(cross.gains.v, 1);
}

// Q, K and V drawn as one Xavier matrix have half the variance, but where the paper draws them apart.
TEST(StackPlan, FusedXavierHalvesTheVarianceOfQueriesKeysAndValues) {
  const auto gains = [](ResidualScheme scheme) {
    return plan_stack(scheme, StackShape::alone(6), MatrixInit::kXavier).layers[0][0].gains;
  };
  constexpr double kHalf = 1 / std::numbers::sqrt2;
  EXPECT_DOUBLE_EQ(gains(ResidualScheme::kPostLn).q, kHalf);
  EXPECT_DOUBLE_EQ(gains(ResidualScheme::kPostLn).v, kHalf);
  EXPECT_EQ(gains(ResidualScheme::kPostLn).o, 1);
  EXPECT_EQ(gains(ResidualScheme::kDeepNorm).q, 1);
  EXPECT_NEAR(gains(ResidualScheme::kDeepNorm).v, 0.3799, kFourDecimals);
  EXPECT_DOUBLE_EQ(gains(ResidualScheme::kTFixup).k, kHalf);
  EXPECT_NEAR(gains(ResidualScheme::kTFixup).v, 0.4281, kFourDecimals);
}

}  // namespace
}  // namespace evenkeel
