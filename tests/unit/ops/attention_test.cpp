#include "evenkeel/ops/attention.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "evenkeel/ops/rotary.h"
#include "tests/support/gradcheck.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

struct Case {
  std::int64_t batch, heads, time, width;
  double spread;  ///< factor on queries and keys: large ones saturate the softmax
};

/// The definitions, one number at a time.
std::vector<kernels::AttentionStats> naive(const at::Tensor& q, const at::Tensor& k) {
  const std::int64_t batch = q.size(0), heads = q.size(1), time = q.size(2), width = q.size(3);
  const auto at4 = [&](const at::Tensor& x, std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t c) {
    return x.data_ptr<double>()[((b * heads + h) * time + t) * width + c];
  };
  std::vector<kernels::AttentionStats> out;
  for (std::int64_t h = 0; h < heads; ++h) {
    kernels::AttentionStats s;
    s.logit_max = -std::numeric_limits<double>::infinity();
    double visible = 0, rows = 0, wide_rows = 0;
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t i = 0; i < time; ++i) {
        std::vector<double> z;
        double q_squares = 0, own_k_squares = 0;
        for (std::int64_t c = 0; c < width; ++c) {
          q_squares += at4(q, b, h, i, c) * at4(q, b, h, i, c);
          own_k_squares += at4(k, b, h, i, c) * at4(k, b, h, i, c);
        }
        s.q_norm += std::sqrt(q_squares);
        s.k_norm += std::sqrt(own_k_squares);
        for (std::int64_t j = 0; j <= i; ++j) {
          double dot = 0, k_squares = 0;
          for (std::int64_t c = 0; c < width; ++c) {
            dot += at4(q, b, h, i, c) * at4(k, b, h, j, c);
            k_squares += at4(k, b, h, j, c) * at4(k, b, h, j, c);
          }
          z.push_back(dot / std::sqrt(static_cast<double>(width)));
          s.logit_max = std::max(s.logit_max, z.back());
          s.logit_absmax = std::max(s.logit_absmax, std::abs(z.back()));
          s.logit_rms += z.back() * z.back();
          s.qk_cosine += dot / std::sqrt(q_squares * k_squares);
          visible += 1;
        }
        rows += 1;
        if (z.size() < 2) continue;
        wide_rows += 1;
        const double top = *std::max_element(z.begin(), z.end());
        double sum = 0, entropy = 0;
        for (const double x : z) sum += std::exp(x - top);
        for (const double x : z) {
          const double p = std::exp(x - top) / sum;
          if (p > 0) entropy -= p * std::log(p);
        }
        s.entropy += entropy;
        s.entropy_norm += entropy / std::log(static_cast<double>(z.size()));
      }
    s.logit_rms = std::sqrt(s.logit_rms / visible);
    s.qk_cosine /= visible;
    s.q_norm /= rows;
    s.k_norm /= rows;
    s.entropy /= wide_rows;
    s.entropy_norm /= wide_rows;
    out.push_back(s);
  }
  return out;
}

void expect_near(const kernels::AttentionStats& a, const kernels::AttentionStats& b, double relative) {
  const auto near = [&](double x, double y, const char* what) {
    EXPECT_NEAR(x, y, relative * std::max(1.0, std::abs(y))) << what;
  };
  near(a.logit_max, b.logit_max, "logit_max");
  near(a.logit_absmax, b.logit_absmax, "logit_absmax");
  near(a.logit_rms, b.logit_rms, "logit_rms");
  near(a.entropy, b.entropy, "entropy");
  near(a.entropy_norm, b.entropy_norm, "entropy_norm");
  near(a.q_norm, b.q_norm, "q_norm");
  near(a.k_norm, b.k_norm, "k_norm");
  near(a.qk_cosine, b.qk_cosine, "qk_cosine");
}

TEST(AttentionStats, EqualANaiveLoop) {
  for (const Case& c :
       {Case{2, 3, 21, 8, 1}, Case{1, 2, 40, 4, 6}, Case{1, 1, 2, 2, 1}, Case{2, 1, 33, 4, 300}}) {
    const at::Tensor q = test::random_normal({c.batch, c.heads, c.time, c.width}, 1) * c.spread;
    const at::Tensor k = test::random_normal({c.batch, c.heads, c.time, c.width}, 2) * c.spread;
    const at::Tensor v = test::random_normal({c.batch, c.heads, c.time, c.width}, 3);
    const auto expected = naive(q, k);
    const auto exact =
        attention_stats(q, k, causal_attention(q, k, v, causal_mask(c.time, at::kDouble), Rounding::kNone));
    const at::Tensor qf = q.to(at::kFloat), kf = k.to(at::kFloat), vf = v.to(at::kFloat);
    const auto single = attention_stats(
        qf, kf, causal_attention(qf, kf, vf, causal_mask(c.time, at::kFloat), Rounding::kNone));
    for (std::size_t h = 0; h < expected.size(); ++h) {
      expect_near(exact[h], expected[h], 1e-11);
      // A logit of size z is rounded by 6e-8 z, and the entropy of a row moves by up to that much times its
      // own size.
      expect_near(single[h], expected[h], 2e-6 * std::max(1.0, expected[h].logit_absmax / 10));
    }
  }
}

TEST(AttentionStats, UniformRowsHaveFullEntropy) {
  const at::Tensor zero = test::random_normal({1, 1, 12, 4}, 1) * 0,
                   v = test::random_normal({1, 1, 12, 4}, 2);
  const auto s = attention_stats(
      zero, zero, causal_attention(zero, zero, v, causal_mask(12, at::kDouble), Rounding::kNone));
  double expected = 0;
  for (int n = 2; n <= 12; ++n) expected += std::log(n) / 11;
  EXPECT_NEAR(s[0].entropy, expected, 1e-12);
  EXPECT_NEAR(s[0].entropy_norm, 1, 1e-12);
  EXPECT_EQ(s[0].qk_cosine, 0);
  EXPECT_EQ(s[0].logit_max, 0);
}

TEST(AttentionStats, NaNIsNotHidden) {
  at::Tensor q = test::random_normal({1, 1, 20, 4}, 1);
  const at::Tensor k = test::random_normal({1, 1, 20, 4}, 2);
  q[0][0][10][1] = std::nan("");
  const auto s =
      attention_stats(q, k, causal_attention(q, k, k, causal_mask(20, at::kDouble), Rounding::kNone));
  EXPECT_TRUE(std::isnan(s[0].logit_max));
  EXPECT_TRUE(std::isnan(s[0].logit_absmax));
  EXPECT_TRUE(std::isnan(s[0].entropy));
  EXPECT_TRUE(std::isnan(s[0].q_norm));
}

TEST(CausalAttention, GradientMatchesDifferences) {
  at::Tensor q = test::random_normal({1, 2, 5, 4}, 1), k = test::random_normal({1, 2, 5, 4}, 2),
             v = test::random_normal({1, 2, 5, 4}, 3);
  const at::Tensor upstream = test::random_normal({1, 2, 5, 4}, 4), mask = causal_mask(5, at::kDouble);
  const auto loss = [&] { return (causal_attention(q, k, v, mask, Rounding::kNone).out * upstream).sum(); };
  EXPECT_LT(test::gradient_error(loss, {q, k, v}), 1e-8);
}

TEST(Rotary, KeepsNormsAndDependsOnDistanceOnly) {
  const auto [cos, sin] = rotary_table(40, 8, 10000);
  const at::Tensor q = test::random_normal({1, 1, 1, 8}, 1).expand({1, 40, 1, 8}).contiguous();
  const at::Tensor k = test::random_normal({1, 1, 1, 8}, 2).expand({1, 40, 1, 8}).contiguous();
  const at::Tensor rq = rotary(q, cos, sin)[0][0], rk = rotary(k, cos, sin)[0][0];
  const auto dot = [&](std::int64_t i, std::int64_t j) { return (rq[i] * rk[j]).sum().item<double>(); };
  EXPECT_NEAR((rq[31] * rq[31]).sum().item<double>(), (q[0][0] * q[0][0]).sum().item<double>(), 1e-12);
  EXPECT_NEAR(dot(7, 2), dot(37, 32), 1e-12);
  EXPECT_GT(std::abs(dot(7, 2) - dot(7, 3)), 1e-3);
}

TEST(Rotary, GradientMatchesDifferences) {
  const auto [cos, sin] = rotary_table(3, 4, 10000);
  const at::Tensor c = cos, s = sin;
  at::Tensor x = test::random_normal({2, 3, 2, 4}, 1);
  const at::Tensor upstream = test::random_normal({2, 2, 3, 4}, 2);
  EXPECT_LT(test::gradient_error([&] { return (rotary(x, c, s) * upstream).sum(); }, {x}), 1e-8);
}

}  // namespace
}  // namespace evenkeel::ops
