#include "evenkeel/ops/top_singular.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evenkeel/ops/threads.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/small_model.h"
#include "tests/support/top_singular.h"

namespace evenkeel::ops {
namespace {

double svd(const at::Tensor& a) {
  return at::linalg_svdvals(a.to(at::kDouble)).max().item<double>();
}

at::Tensor orthogonal(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  return std::get<0>(at::linalg_qr(test::random_normal({m, n}, seed)));
}

/// Singular values 3, 3 - 1e-4, 3 - 2e-4, ... of a matrix without structure.
at::Tensor near_degenerate(std::int64_t m, std::int64_t n) {
  const std::int64_t r = std::min(m, n);
  at::Tensor values = test::random_normal({r}, 1);
  for (std::int64_t i = 0; i < r; ++i) values[i] = 3 - 1e-4 * static_cast<double>(i);
  return (orthogonal(m, r, 2) * values).matmul(orthogonal(n, r, 3).t());
}

TEST(TopSingular, EqualsTheSvd) {
  test::with_each_instruction_set([] {
    for (const auto& [m, n] : {std::pair{64, 64},
                               {128, 64},
                               {37, 96},
                               {512, 33},
                               {3, 50},
                               {50, 3},
                               {2, 2},
                               {1, 300},
                               {300, 1},
                               {1, 1}}) {
      const at::Tensor a = test::random_normal({m, n}, 7) * 0.3;
      const kernels::TopSingular exact = test::top_singular_value(a),
                                 single = test::top_singular_value(a.to(at::kFloat));
      EXPECT_NEAR(exact.sigma / svd(a), 1, 1e-12) << m << " x " << n;
      EXPECT_LT(exact.residual, 1e-10);
      EXPECT_NEAR(single.sigma / svd(a), 1, 2e-6) << m << " x " << n;
      if (std::min(m, n) == 1) {
        EXPECT_LE(single.iterations, 2);
      }
    }
  });
}

TEST(TopSingular, NearDegenerateRankOneAndZero) {
  const at::Tensor close = near_degenerate(80, 60).to(at::kFloat);
  const kernels::TopSingular loose = top_singular_values({{close, {}, power_block(close)}})[0];
  EXPECT_LE(loose.residual, 2e-3) << "the whole spectrum spans as much";
  EXPECT_NEAR(loose.sigma / svd(close), 1, 1e-3);

  const at::Tensor one = (test::random_normal({70, 1}, 4) * test::random_normal({1, 50}, 5)).to(at::kFloat);
  const kernels::TopSingular rank_one = test::top_singular_value(one);
  EXPECT_NEAR(rank_one.sigma / svd(one), 1, 2e-6);
  EXPECT_LT(rank_one.residual, 2e-6);

  const at::Tensor zero = one * 0;
  const at::Tensor block = power_block(zero);
  const kernels::TopSingular none = top_singular_values({{zero, {}, block}})[0];
  EXPECT_EQ(none.sigma, 0);
  EXPECT_EQ(none.residual, 0);
  EXPECT_NEAR(top_singular_values({{close.slice(1, 0, 50), {}, block}}, {1e-5, 200})[0].sigma /
                  svd(close.slice(1, 0, 50)),
              1, 1e-3)
      << "the block of a zero matrix is of use afterwards";
}

TEST(TopSingular, SigmaIsALowerBoundAndTheResidualABound) {
  const at::Tensor a = test::random_normal({96, 96}, 9).to(at::kFloat);
  const at::Tensor block = power_block(a);
  const at::Tensor values = at::linalg_svdvals(a.to(at::kDouble));
  double last = 0;
  for (int i = 0; i < 12; ++i) {
    const kernels::TopSingular top = top_singular_values({{a, {}, block}}, {0, 1})[0];
    EXPECT_LE(top.sigma, svd(a) * (1 + 1e-6));
    EXPECT_GE(top.sigma, last * (1 - 1e-6));
    // Some singular value is no further from sigma than the residual.
    EXPECT_LE(((values - top.sigma).abs().min().item<double>()) / top.sigma, top.residual + 1e-6);
    last = top.sigma;
  }
  EXPECT_NEAR(last / svd(a), 1, 0.01);
}

TEST(TopSingular, AWarmStartFollowsAMatrixThatMoves) {
  at::Tensor a = test::random_normal({128, 128}, 10).to(at::kFloat);
  const at::Tensor block = power_block(a);
  const int cold = top_singular_values({{a, {}, block}}, {1e-2, 1000})[0].iterations;
  int warm = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    a = a + 0.01 * test::random_normal({128, 128}, 20 + i, at::kFloat);
    const kernels::TopSingular top = top_singular_values({{a, {}, block}}, {1e-2, 1000})[0];
    warm = std::max(warm, top.iterations);
    EXPECT_NEAR(top.sigma / svd(a), 1, 1e-3);
  }
  EXPECT_LT(2 * warm, cold);
}

TEST(TopSingular, OfAProductThatIsNotFormed) {
  test::with_each_instruction_set([] {
    for (const auto& [k, m, n] : {std::tuple{16, 64, 64}, {7, 40, 33}, {1, 20, 20}, {32, 8, 128}}) {
      const at::Tensor q = test::random_normal({k, m}, 11), w = test::random_normal({k, n}, 12);
      const kernels::TopSingular exact = top_singular_values({{w, q, power_block(w)}}, {1e-11, 2000})[0];
      EXPECT_NEAR(exact.sigma / svd(q.t().matmul(w)), 1, 1e-11) << k;
      const at::Tensor qf = q.to(at::kFloat), wf = w.to(at::kFloat);
      EXPECT_NEAR(top_singular_values({{wf, qf, power_block(wf)}}, {1e-5, 2000})[0].sigma / exact.sigma, 1,
                  1e-5);
    }
  });
}

TEST(TopSingular, WhatIsNotFiniteSaysSoAndIsForgotten) {
  at::Tensor a = test::random_normal({20, 30}, 13).to(at::kFloat);
  const at::Tensor block = power_block(a), whole = a.clone();
  a[3][4] = std::nan("");
  EXPECT_TRUE(std::isnan(top_singular_values({{a, {}, block}})[0].sigma));
  EXPECT_NEAR(top_singular_values({{whole, {}, block}})[0].sigma / svd(whole), 1, 1e-4);
}

TEST(TopSingular, SameBitsForAnyNumberOfThreads) {
  std::vector<at::Tensor> blocks;
  std::vector<double> sigmas;
  for (const int threads : {1, 2}) {
    set_threads(threads);
    std::vector<PowerMatrix> all;
    for (std::uint64_t i = 0; i < 6; ++i) {
      const at::Tensor a = test::random_normal({64, 48}, i, at::kFloat);
      all.push_back({a, {}, power_block(a)});
    }
    for (const kernels::TopSingular& top : top_singular_values(all)) sigmas.push_back(top.sigma);
    for (const PowerMatrix& a : all) blocks.push_back(a.block);
    set_threads(1);
  }
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(sigmas[i], sigmas[i + 6]);
    EXPECT_TRUE(blocks[i].equal(blocks[i + 6]));
  }
}

}  // namespace
}  // namespace evenkeel::ops
