#include "evenkeel/spec/residual.h"

#include <cmath>
#include <numbers>

namespace evenkeel {
namespace {

double number(std::int64_t n) {
  return static_cast<double>(n);
}

/// (N^4 M)^(1/16).
double deepnorm_depth(const StackShape& shape) {
  return std::pow(std::pow(number(shape.encoder_layers), 4) * number(shape.decoder_layers), 1.0 / 16);
}

Scale admin_omega(const AdminSpec& admin, const StackShape& shape) {
  return {admin.omega == AdminOmega::kScalar ? Scale::Shape::kNumber : Scale::Shape::kChannels,
          admin_start(admin.start, shape.sublayers()), admin.omega != AdminOmega::kFrozen};
}

/// The gain of everything that carries values: all matrices but queries' and keys'.
void scale_values(MatrixGains& gains, double factor) {
  gains.v *= factor;
  gains.o *= factor;
  gains.w1 *= factor;
  gains.w2 *= factor;
}

SubLayer plan_sublayer(ResidualScheme scheme, const StackShape& shape, std::int64_t layer, BranchKind branch,
                       const AdminSpec& admin) {
  SubLayer s;
  s.branch = branch;
  MatrixGains& gains = s.gains;
  switch (scheme) {
    case ResidualScheme::kPreLn:
      s.norm_before = true;
      break;
    case ResidualScheme::kPostLn:
      s.norm_after = true;
      break;
    case ResidualScheme::kNone:
      break;
    case ResidualScheme::kAdmin:
      s.norm_after = true;
      s.shortcut = admin_omega(admin, shape);
      break;
    case ResidualScheme::kDsInit:
      s.norm_after = true;
      gains.q = gains.k = 1 / std::sqrt(number(layer));
      scale_values(gains, gains.q);
      break;
    case ResidualScheme::kFixup: {
      s.branch_scale = {Scale::Shape::kNumber, 1};
      s.shifts = true;
      const double branches = number(shape.branches());
      gains = {.w1 = std::pow(branches, -1.0 / 2)};
      gains.q = gains.k = gains.v = std::pow(branches, -1.0 / 6);
      gains.o = gains.w2 = 0;
      break;
    }
    case ResidualScheme::kTFixup:
      scale_values(gains, t_fixup_gain(shape));
      break;
    case ResidualScheme::kReZero:
      s.branch_scale = {Scale::Shape::kNumber, 0, true, true};
      break;
    case ResidualScheme::kSkipInit:
      s.branch_scale = {Scale::Shape::kNumber, 0};
      break;
    case ResidualScheme::kLayerScale:
      s.norm_before = true;
      s.branch_scale = {Scale::Shape::kChannels, layer_scale_start(shape.layers())};
      break;
    case ResidualScheme::kDeepNorm: {
      const DeepNormConstants constants = deepnorm_constants(shape);
      s.norm_after = true;
      s.shortcut = {Scale::Shape::kNumber, constants.alpha, false};
      scale_values(gains, constants.beta);
      break;
    }
    case ResidualScheme::kSandwichLn:
      s.norm_before = s.norm_of_branch = true;
      gains.o = gains.w2 = 1 / std::sqrt(number(shape.sublayers()));
      break;
    case ResidualScheme::kPeriLn:
      s.norm_before = s.norm_of_branch = true;
      break;
    case ResidualScheme::kB2t:
      s.norm_after = true;
      s.adds_layer_input = branch == BranchKind::kMlp;
      break;
    case ResidualScheme::kSubLn:
      s.norm_before = true;
      if (branch == BranchKind::kCrossAttention) break;
      s.norm_inside = true;
      scale_values(gains, sub_ln_gain(shape));
      break;
    case ResidualScheme::kMixLn:
      s.norm_after = layer <= shape.layers() / 4;
      s.norm_before = !s.norm_after;
      break;
    case ResidualScheme::kLayerNormScaling:
      s.norm_before = true;
      s.norm_before_factor = 1 / std::sqrt(number(layer));
      break;
  }
  return s;
}

/// Queries, keys and values as one Xavier matrix; DeepNorm and T-Fixup say theirs of separate ones.
void draw_fused(SubLayer& s, ResidualScheme scheme) {
  constexpr double kFused = 1 / std::numbers::sqrt2;
  const bool deepnorm = scheme == ResidualScheme::kDeepNorm, t_fixup = scheme == ResidualScheme::kTFixup;
  if (!deepnorm) {
    s.gains.q *= kFused;
    s.gains.k *= kFused;
  }
  if (!deepnorm && !t_fixup) s.gains.v *= kFused;
}

}  // namespace

StackPlan plan_stack(ResidualScheme scheme, const StackShape& shape, MatrixInit init,
                     const AdminSpec& admin) {
  StackPlan plan;
  for (std::int64_t layer = 1; layer <= shape.layers(); ++layer) {
    std::vector<SubLayer> sublayers;
    for (const BranchKind branch :
         {BranchKind::kSelfAttention, BranchKind::kCrossAttention, BranchKind::kMlp}) {
      if (branch == BranchKind::kCrossAttention && shape.kind != StackShape::Kind::kDecoder) continue;
      SubLayer s = plan_sublayer(scheme, shape, layer, branch, admin);
      s.init = init;
      if (init == MatrixInit::kXavier) draw_fused(s, scheme);
      sublayers.push_back(s);
    }
    plan.layers.push_back(std::move(sublayers));
  }
  switch (scheme) {
    case ResidualScheme::kPreLn:
    case ResidualScheme::kLayerScale:
    case ResidualScheme::kSandwichLn:
    case ResidualScheme::kPeriLn:
    case ResidualScheme::kSubLn:
    case ResidualScheme::kMixLn:
    case ResidualScheme::kLayerNormScaling:
      plan.final_norm = true;
      break;
    default:
      break;
  }
  if (scheme == ResidualScheme::kTFixup && shape.layers() > 0)
    plan.embedding_gain = std::pow(9 * number(shape.layers()), -1.0 / 4);
  return plan;
}

DeepNormConstants deepnorm_constants(const StackShape& shape) {
  switch (shape.kind) {
    case StackShape::Kind::kAlone:
      return {std::pow(2 * number(shape.layers()), 1.0 / 4), std::pow(8 * number(shape.layers()), -1.0 / 4)};
    case StackShape::Kind::kEncoder:
      return {0.81 * deepnorm_depth(shape), 0.87 / deepnorm_depth(shape)};
    default:
      return {std::pow(3 * number(shape.decoder_layers), 1.0 / 4),
              std::pow(12 * number(shape.decoder_layers), -1.0 / 4)};
  }
}

double t_fixup_gain(const StackShape& shape) {
  if (shape.kind == StackShape::Kind::kDecoder) return std::pow(9 * number(shape.decoder_layers), -1.0 / 4);
  return 0.67 * std::pow(number(shape.layers()), -1.0 / 4);
}

double sub_ln_gain(const StackShape& shape) {
  const double n = number(shape.encoder_layers), m = number(shape.decoder_layers);
  switch (shape.kind) {
    case StackShape::Kind::kAlone:
      return std::sqrt(std::log(2 * m));
    case StackShape::Kind::kEncoder:
      return std::sqrt(std::log(3 * m) * std::log(2 * n) / 3);
    default:
      return std::sqrt(std::log(3 * m));
  }
}

double layer_scale_start(std::int64_t layers) {
  return layers <= 18 ? 0.1 : layers <= 24 ? 1e-5 : 1e-6;
}

double admin_start(AdminStart start, std::int64_t sublayers) {
  const double n = number(sublayers);
  switch (start) {
    case AdminStart::kLogN:
      return std::sqrt((n + 1) / std::log(n + 1) - 1);
    case AdminStart::kOne:
      return std::sqrt(n);
    default:
      return 1;
  }
}

}  // namespace evenkeel
