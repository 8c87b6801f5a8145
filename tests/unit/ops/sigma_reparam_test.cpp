#include "evenkeel/ops/sigma_reparam.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <exception>
#include <limits>

#include "evenkeel/ops/threads.h"
#include "evenkeel/ops/top_singular.h"
#include "tests/support/small_model.h"

// The numbers in the names are those of the checks of sigma-reparam's acceptance list.
namespace evenkeel::ops {
namespace {

constexpr std::int64_t kMatrices[][2] = {{64, 64}, {128, 64}, {96, 32}, {5, 1}, {1, 7}, {33, 70}};

at::Tensor gaussian(std::int64_t m, std::int64_t n, std::uint64_t seed, at::ScalarType type = at::kFloat) {
  return test::random_normal({m, n}, seed, type);
}

double top(const at::Tensor& w) {
  return std::get<1>(at::linalg_svd(w.detach().to(at::kDouble)))[0].item<double>();
}

at::Tensor unit(at::Tensor x) {
  return x / x.norm(2, {-1}, true);
}

SpectralState exact(const at::Tensor& w, std::int64_t groups = 1) {
  return power_iterate({w}, top_singular_vectors({w}, groups), 1e-6, 20);
}

double number(const at::Tensor& x) {
  return x.item<double>();
}

/// A state with arbitrary unit vectors, which need not be near the singular ones; sigma = v^T W u.
SpectralState arbitrary(const at::Tensor& w, std::uint64_t seed) {
  const at::Tensor u = unit(test::random_normal({1, w.size(1)}, seed, w.scalar_type()));
  const at::Tensor v = unit(test::random_normal({w.size(0)}, seed + 1, w.scalar_type()));
  return {u, v, at::mm(at::mm(v.view({1, -1}), w), u.t()).view({1}), at::zeros({1}, w.options())};
}

struct Gradients {
  at::Tensor weight, gamma;
};

/// Of sum(c * What).
Gradients gradients(const at::Tensor& w, const at::Tensor& gamma, const SpectralState& state,
                    const at::Tensor& c) {
  const at::Tensor weight = w.detach().clone().set_requires_grad(true),
                   factor = gamma.detach().clone().set_requires_grad(true);
  (sigma_reparam({weight}, factor, state)[0] * c).sum().backward();
  return {weight.grad(), factor.grad()};
}

TEST(PowerIterate, SaysWhenAMatrixIsNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const at::ScalarType type : {at::kFloat, at::kDouble})
    for (const double bad : {std::nan(""), infinity, -infinity}) {
      at::Tensor w = gaussian(40, 30, 1, type);
      const at::Tensor u = top_singular_vectors({w}, 1);
      w[7][3] = bad;
      const SpectralState state = power_iterate({w}, u, 1e-3, 20);
      // Not the sigma of a zero matrix. The vector to start from again is kept.
      EXPECT_TRUE(std::isnan(number(state.sigma))) << type << " " << bad << " " << state.sigma;
      EXPECT_TRUE(std::isnan(number(state.residual))) << type << " " << bad;
      EXPECT_TRUE(state.u.equal(u)) << type << " " << bad;
    }
  // W^T W overflows in fp32.
  const at::Tensor w = gaussian(40, 30, 1) * 1e25;
  EXPECT_TRUE(std::isnan(number(power_iterate({w}, at::ones({1, 30}) / std::sqrt(30.0), 1e-3, 20).sigma)));
}

TEST(TopSingularVectors, AFailureLeavesTheNumberOfThreads) {
  set_threads(3);
  // Four rows are no three groups.
  EXPECT_ANY_THROW(top_singular_vectors({gaussian(4, 5, 1)}, 3));
  EXPECT_EQ(at::get_num_threads(), 3);
  set_threads(3);
  at::Tensor w = gaussian(4, 5, 1);
  w[1][1] = std::nan("");
  try {
    top_singular_vectors({w}, 1);
  } catch (const std::exception&) {  // LAPACK may refuse it
  }
  EXPECT_EQ(at::get_num_threads(), 3);
  set_threads(1);
}

TEST(SigmaReparam, C1_TheNormIsGammaAfterAnExactStart) {
  for (const auto& [m, n] : kMatrices)
    for (const double gamma : {1.0, -0.3, 12.0}) {
      const at::Tensor w = gaussian(m, n, 1), g = at::ones({1}) * gamma;
      EXPECT_NEAR(top(sigma_reparam({w}, g, exact(w))[0]) / std::abs(gamma), 1, 1e-5) << m << " x " << n;
    }
}

TEST(SigmaReparam, C1_TheNormStaysGammaWhileTheMatrixMoves) {
  // Random steps of 2 % of the matrix's norm, and far beyond it, where one iteration per step would lose it.
  for (const double step : {0.02, 0.05, 0.2, 0.5})
    for (const auto& [m, n] : {std::pair{64, 64}, std::pair{128, 32}}) {
      at::Tensor w = gaussian(m, n, 2), block = at::zeros({1, kernels::kBlock, n});
      block.select(1, 0).copy_(exact(w).u);
      for (std::uint64_t t = 0; t < 40; ++t) {
        const at::Tensor move = gaussian(m, n, 100 + t);
        w = w + move * (step * number(w.norm()) / number(move.norm()));
        const double ratio = top(w) / number(block_iterate({w}, block, 0.01, 20).sigma);
        EXPECT_GE(ratio, 1 - 1e-5);
        EXPECT_LE(ratio, 1.01) << step << " at " << t;
      }
    }
}

TEST(SigmaReparam, C2_TheEstimateGrowsAndStaysBelow) {
  for (const auto& [m, n] : kMatrices) {
    const at::Tensor w = gaussian(m, n, 3);
    const double most = top(w);
    SpectralState state{unit(gaussian(1, n, 4)), {}, {}, {}};
    double last = 0;
    for (int k = 0; k < 30; ++k) {
      state = power_iterate({w}, state.u, 0, 1);
      const double sigma = number(state.sigma);
      EXPECT_GE(sigma, last * (1 - 1e-6));  // fp32
      EXPECT_LE(sigma, most * (1 + 1e-6));
      const at::Tensor wide = w.to(at::kDouble), v = state.v.to(at::kDouble).view({1, -1});
      EXPECT_NEAR(number(at::mm(v, wide).norm()) / sigma, 1, 1e-6);
      EXPECT_NEAR(number(at::mm(at::mm(v, wide), state.u.to(at::kDouble).t())) / sigma, 1, 1e-6);
      last = sigma;
    }
  }
}

TEST(SigmaReparam, C3_ConvergenceFromARandomVector) {
  struct Row {
    std::int64_t m, n;
    double after[4];  // 1, 5, 15 and 50 iterations
  };
  const int ks[] = {1, 5, 15, 50};
  for (const Row& row :
       {Row{64, 64, {0.72, 0.960, 0.996, 1.0000}}, Row{128, 64, {0.695, 0.948, 0.9965, 0.9999}},
        Row{96, 32, {0.764, 0.955, 0.988, 0.999}}}) {
    // After one iteration |W^T W u| / |W u| is about sqrt(m + n): 0.73 of the norm of a 128 x 64 matrix. 48
    // matrices: the expected values are means of 6 others, which differ among themselves by a few hundredths
    // after one iteration and a few thousandths later.
    const double tolerance[] = {0.04, 0.02, 0.01, 0.002};
    for (int i = 0; i < 4; ++i) {
      double sum = 0;
      for (std::uint64_t seed = 0; seed < 48; ++seed) {
        const at::Tensor w = gaussian(row.m, row.n, 10 + seed);
        const at::Tensor u = unit(gaussian(1, row.n, 1000 + seed));
        sum += number(power_iterate({w}, u, 0, ks[i]).sigma) / top(w);
      }
      EXPECT_NEAR(sum / 48, row.after[i], tolerance[i]) << row.m << " x " << row.n << " after " << ks[i];
    }
  }
}

TEST(SigmaReparam, C4_GradientsAreThoseOfFiniteDifferences) {
  const at::Tensor w = gaussian(9, 6, 5, at::kDouble), c = gaussian(9, 6, 6, at::kDouble);
  const at::Tensor gamma = at::ones({1}, at::kDouble) * 1.7;
  for (const SpectralState& state : {exact(w), arbitrary(w, 20)}) {
    const Gradients got = gradients(w, gamma, state, c);
    const auto value = [&](const at::Tensor& x, const at::Tensor& g) {
      return number((sigma_reparam_plain({x}, g, state)[0] * c).sum());
    };
    at::Tensor expected = at::zeros_like(w);
    const double h = 1e-6;
    for (std::int64_t i = 0; i < w.numel(); ++i) {
      at::Tensor up = w.clone(), down = w.clone();
      up.data_ptr<double>()[i] += h;
      down.data_ptr<double>()[i] -= h;
      expected.data_ptr<double>()[i] = (value(up, gamma) - value(down, gamma)) / (2 * h);
    }
    EXPECT_LT(number((got.weight - expected).norm() / expected.norm()), 1e-6);
    EXPECT_NEAR(number(got.gamma), number((c * w).sum()) / number(state.sigma), 1e-10);
    const at::Tensor form =
        gamma / state.sigma *
        (c - (c * w).sum() / state.sigma * at::mm(state.v.view({-1, 1}), state.u.view({1, -1})));
    EXPECT_LT(number((got.weight - form).norm() / form.norm()), 1e-12);
  }
}

TEST(SigmaReparam, C4_AtTheExactVectorsItIsTheDerivativeThroughTheSvd) {
  const at::Tensor w = gaussian(7, 5, 7, at::kDouble), c = gaussian(7, 5, 8, at::kDouble);
  const Gradients got = gradients(w, at::ones({1}, at::kDouble), exact(w), c);
  at::Tensor expected = at::zeros_like(w);
  const double h = 1e-6;
  const auto value = [&](const at::Tensor& x) { return number((x * c).sum()) / top(x); };
  for (std::int64_t i = 0; i < w.numel(); ++i) {
    at::Tensor up = w.clone(), down = w.clone();
    up.data_ptr<double>()[i] += h;
    down.data_ptr<double>()[i] -= h;
    expected.data_ptr<double>()[i] = (value(up) - value(down)) / (2 * h);
  }
  // Power iteration stops at a residual of 1e-6.
  EXPECT_LT(number((got.weight - expected).norm() / expected.norm()), 1e-5);
}

TEST(SigmaReparam, C5_TheGradientIsOrthogonalToTheWeight) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat})
    for (const auto& [m, n] : kMatrices) {
      if (m == 1 || n == 1) continue;  // nothing is left but the rounding of a zero gradient
      const at::Tensor w = gaussian(m, n, 9, type), c = gaussian(m, n, 10, type), gamma = at::ones({1}, type);
      const SpectralState once = power_iterate({w}, unit(gaussian(1, n, 11, type)), 0, 1);
      for (const SpectralState& state : {exact(w), once, arbitrary(w, 30)}) {
        const at::Tensor gradient = gradients(w, gamma, state, c).weight;
        const double cosine = number((gradient.to(at::kDouble) * w.to(at::kDouble)).sum()) /
                              (number(gradient.norm()) * number(w.norm()));
        EXPECT_LT(std::abs(cosine), type == at::kDouble ? 1e-12 : 1e-5) << m << " x " << n;
      }
      // With sigma a constant it would not be.
      const at::Tensor weight = w.clone().set_requires_grad(true);
      (weight / once.sigma * c).sum().backward();
      EXPECT_GT(std::abs(number((weight.grad() * w).sum()) / number(weight.grad().norm() * w.norm())), 1e-4);
    }
}

TEST(SigmaReparam, C6_TheSizeOfTheWeightDoesNotMatter) {
  const at::Tensor w = gaussian(48, 32, 12), c = gaussian(48, 32, 13), gamma = at::ones({1}) * 1.3;
  const SpectralState state = exact(w);
  const at::Tensor out = sigma_reparam({w}, gamma, state)[0];
  const Gradients base = gradients(w, gamma, state, c);
  for (const double factor : {0.1, 10.0}) {
    const at::Tensor scaled = w * factor;
    const SpectralState scaled_state = exact(scaled);
    EXPECT_LT(number((sigma_reparam({scaled}, gamma, scaled_state)[0] - out).abs().max()), 1e-6);
    const Gradients got = gradients(scaled, gamma, scaled_state, c);
    // fp32 sums of 1536 products of order 1.
    EXPECT_LT(number((got.weight * factor - base.weight).norm() / base.weight.norm()), 1e-5);
    EXPECT_NEAR(number(got.gamma) / number(base.gamma), 1, 1e-5);
  }
}

TEST(SigmaReparam, C7_OutputScale) {
  struct Case {
    std::int64_t m, n;
    double expected;
  };
  const at::Tensor one = at::ones({1});
  for (const Case& c : {Case{512, 512, 0.500}, Case{1024, 256, 0.333}, Case{256, 1024, 0.667},
                        Case{768, 256, 0.366}, Case{512, 256, 0.414}}) {
    const at::Tensor w = gaussian(c.m, c.n, 14);
    const at::Tensor y = at::mm(gaussian(512, c.n, 15), sigma_reparam({w}, one, exact(w))[0].t());
    EXPECT_NEAR(number(y.std()) / c.expected, 1, 0.05) << c.m << " x " << c.n;
  }
  for (const auto& [m, gamma0] : {std::pair{768, 1.11}, std::pair{2304, 1.51}, std::pair{3072, 1.66}}) {
    const at::Tensor w = gaussian(m, 768, 16) * 0.02;
    const SpectralState state = exact(w);
    EXPECT_NEAR(number(state.sigma) / gamma0, 1, 0.02);
    const at::Tensor y = at::mm(gaussian(256, 768, 17), sigma_reparam({w}, state.sigma, state)[0].t());
    EXPECT_NEAR(number(y.std()), 0.554, 0.01);
  }
}

TEST(SigmaReparam, C12_OneIterationPerStepFollowsSmallSteps) {
  for (const auto& [step, least] : {std::pair{0.001, 0.99995}, std::pair{0.01, 0.999}}) {
    at::Tensor w = gaussian(64, 64, 18);
    SpectralState state = exact(w);
    for (std::uint64_t t = 0; t < 20; ++t) {
      const at::Tensor move = gaussian(64, 64, 200 + t);
      w = w + move * (step * number(w.norm()) / number(move.norm()));
      state = power_iterate({w}, state.u, 0, 1);
      EXPECT_GE(number(state.sigma) / top(w), least) << step << " at " << t;
    }
  }
}

TEST(SigmaReparam, C14_DegenerateMatrices) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor zero = at::zeros({6, 4}, type), gamma = at::ones({1}, type) * 0.7;
    const at::Tensor c = gaussian(6, 4, 19, type);
    const SpectralState state = exact(zero);
    EXPECT_EQ(number(sigma_reparam({zero}, gamma, state)[0].abs().max()), 0);
    const Gradients got = gradients(zero, gamma, state, c);
    EXPECT_LT(number((got.weight - gamma * c).abs().max()), 1e-6);
    EXPECT_EQ(number(got.gamma), 0);
    EXPECT_NEAR(number(state.u.norm()), 1, 1e-6);
    for (const auto& [m, n] : {std::pair{1, 9}, std::pair{9, 1}}) {
      const at::Tensor w = gaussian(m, n, 20, type);
      const SpectralState once = power_iterate({w}, unit(gaussian(1, n, 21, type)), 0, 1);
      EXPECT_NEAR(number(once.sigma) / number(w.norm()), 1, 1e-6);
    }
  }
}

// W u is representable and W^T v is not: as good as zero, and no NaN.
TEST(SigmaReparam, WeightsTooSmallForTheirOwnProductsCountAsZero) {
  const at::Tensor w = gaussian(12, 8, 22, at::kFloat) * 1e-24;
  const SpectralState once = power_iterate({w}, unit(gaussian(1, 8, 23, at::kFloat)), 0, 3);
  EXPECT_TRUE(std::isfinite(number(once.sigma)));
  EXPECT_TRUE(std::isfinite(number(once.u.norm())));
  const at::Tensor used = sigma_reparam({w}, at::ones({1}), once)[0];
  EXPECT_TRUE(std::isfinite(number(used.abs().max())));
}

TEST(SigmaReparam, C15_PlainSgdLetsTheNormGrow) {
  at::Tensor w = gaussian(24, 16, 22, at::kDouble);
  const at::Tensor gamma = at::ones({1}, at::kDouble);
  const double lr = 0.05;
  for (std::uint64_t t = 0; t < 10; ++t) {
    const SpectralState state = power_iterate({w}, top_singular_vectors({w}, 1), 0, 1);
    const at::Tensor gradient = gradients(w, gamma, state, gaussian(24, 16, 300 + t, at::kDouble)).weight;
    const at::Tensor next = w - lr * gradient;
    const double expected = number(w.square().sum()) + lr * lr * number(gradient.square().sum());
    EXPECT_NEAR(number(next.square().sum()) / expected, 1, 1e-13);
    w = next;
  }
}

TEST(SigmaReparam, FusedIsPlain) {
  for (const std::int64_t groups : {1, 3, 6}) {
    const std::vector<at::Tensor> weights{gaussian(12, 20, 23), gaussian(6, 20, 24)};
    const at::Tensor gamma = gaussian(1, groups, 25).flatten();
    const SpectralState state = power_iterate(weights, top_singular_vectors(weights, groups), 0.01, 20);
    std::vector<at::Tensor> results[2];
    for (const bool fused : {true, false}) {
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& w : weights) leaves.push_back(w.clone().set_requires_grad(true));
      const at::Tensor g = gamma.clone().set_requires_grad(true);
      const auto out = fused ? sigma_reparam(leaves, g, state) : sigma_reparam_plain(leaves, g, state);
      ((out[0] * gaussian(12, 20, 26)).sum() + (out[1] * gaussian(6, 20, 27)).sum()).backward();
      results[fused] = {out[0].detach(), out[1].detach(), leaves[0].grad(), leaves[1].grad(), g.grad()};
    }
    for (std::size_t i = 0; i < results[0].size(); ++i)  // fp32 sums in another order
      EXPECT_LT(number((results[0][i] - results[1][i]).norm() / results[1][i].norm()), 1e-5)
          << groups << " " << i;
    // Every group has its own norm.
    const at::Tensor used = at::cat({results[1][0], results[1][1]}).view({groups, -1, 20});
    for (std::int64_t g = 0; g < groups; ++g) EXPECT_LE(top(used[g]) / std::abs(number(gamma[g])), 1.01);
  }
}

TEST(SigmaReparam, AnUnusedMemberGetsOnlyTheShareOfSigma) {
  const at::Tensor a = gaussian(4, 5, 28).set_requires_grad(true),
                   b = gaussian(4, 5, 29).set_requires_grad(true);
  const SpectralState state = power_iterate({a, b}, top_singular_vectors({a, b}, 1), 0.01, 20);
  sigma_reparam({a, b}, at::ones({1}), state)[0].sum().backward();
  const at::Tensor fused = b.grad().clone();
  b.mutable_grad() = at::Tensor();
  sigma_reparam_plain({a, b}, at::ones({1}), state)[0].sum().backward();
  EXPECT_LT(number((fused - b.grad()).norm() / fused.norm()), 1e-5);
}

TEST(SigmaReparam, BitsDoNotDependOnThreads) {
  const at::Tensor w = gaussian(700, 130, 30), c = gaussian(700, 130, 31);
  at::Tensor first[3];
  for (const int threads : {1, 2}) {
    set_threads(threads);
    const SpectralState state = power_iterate({w}, top_singular_vectors({w}, 1), 1e-3, 20);
    const Gradients got = gradients(w, at::ones({1}), state, c);
    if (threads == 1) {
      first[0] = state.u, first[1] = got.weight, first[2] = got.gamma;
      continue;
    }
    EXPECT_TRUE(first[0].equal(state.u));
    EXPECT_TRUE(first[1].equal(got.weight));
    EXPECT_TRUE(first[2].equal(got.gamma));
  }
  set_threads(1);
}

}  // namespace
}  // namespace evenkeel::ops
