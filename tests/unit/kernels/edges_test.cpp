// Linear layers, MLP and attention at shapes off every block and lane width, in arrays without a byte to
// spare, so that sanitizers see every access. What they compute is checked against the plain forms in
// tests/unit/ops; here the instruction sets only have to agree.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/attention.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/matmul.h"
#include "tests/support/instruction_sets.h"

namespace evenkeel::kernels {
namespace {

template <class T>
std::vector<T> draw_small(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed, "test/edges");
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = from_float<T>(static_cast<float>(0.5 * rng.normal()));
  return x;
}
template <class T>
std::vector<T> room(std::int64_t n) {
  return std::vector<T>(static_cast<std::size_t>(n));
}
/// The rows of a matrix, each in an array of its own.
struct Rows {
  std::vector<std::vector<float>> each;
  Rows(std::int64_t n, std::int64_t k, std::uint64_t seed) {
    for (std::int64_t i = 0; i < n; ++i)
      each.push_back(draw_small<float>(k, seed + static_cast<std::uint64_t>(i)));
  }
  WeightRows weights() const {
    WeightRows rows;
    for (const auto& row : each) rows.push_back(row.data());
    return rows;
  }
  GradientRows gradients() {
    GradientRows rows;
    for (auto& row : each) rows.push_back(row.data());
    return rows;
  }
};

class Results {
 public:
  template <class T>
  void add(const std::vector<T>& x) {
    for (const T v : x) all_.push_back(to_float(v));
  }
  void add(const Rows& rows) {
    for (const auto& row : rows.each) add(row);
  }
  const std::vector<float>& all() const { return all_; }

 private:
  std::vector<float> all_;
};

/// Runs `body` on every instruction set. Sums of some hundred terms of unit size, in another order: 1e-5 in
/// fp32; a bf16 may round to its neighbour, 2^-8 of its size, once on the way and once at the end.
template <class T>
void agree(const std::function<Results()>& body) {
  std::vector<float> first;
  test::with_each_instruction_set([&] {
    const std::vector<float> now = body().all();
    if (first.empty()) first = now;
    ASSERT_EQ(first.size(), now.size());
    for (std::size_t i = 0; i < now.size(); ++i) {
      const double allowed = sizeof(T) == 4 ? 1e-5 : 0.03;
      ASSERT_NEAR(now[i], first[i], allowed * (1 + std::abs(static_cast<double>(first[i])))) << i;
    }
  });
}

template <class T>
void linear(std::int64_t m, std::int64_t k, std::int64_t n) {
  SCOPED_TRACE(testing::Message() << "linear " << m << " " << k << " " << n);
  const auto x = draw_small<T>(m * k, 1), dy = draw_small<T>(m * n, 2);
  const auto bias = draw_small<float>(n, 3);
  const Rows w(n, k, 100);
  agree<T>([&] {
    auto y = room<T>(m * n), dx = room<T>(m * k);
    auto db = room<float>(n);
    Rows dw(n, k, 100);
    linear_forward(x.data(), m, k, w.weights(), bias.data(), y.data());
    linear_backward_input(dy.data(), m, k, w.weights(), dx.data());
    linear_backward_weight(dy.data(), x.data(), m, k, dw.gradients());
    sum_rows(dy.data(), m, n, db.data());
    Results results;
    results.add(y);
    results.add(dx);
    results.add(db);
    results.add(dw);
    return results;
  });
}

template <class T>
void mlp(std::int64_t m, std::int64_t width, std::int64_t hidden, Activation activation) {
  SCOPED_TRACE(testing::Message() << "mlp " << m << " " << width << " " << hidden);
  const auto x = draw_small<T>(m * width, 1), dy = draw_small<T>(m * width, 2);
  const auto b1 = draw_small<float>(hidden, 3), b2 = draw_small<float>(width, 4);
  const Rows w1(hidden, width, 100), w2(width, hidden, 1000);
  agree<T>([&] {
    Mlp p{m, width, hidden, activation, w1.weights(), w2.weights(), b1.data(), b2.data()};
    auto pre = room<T>(m * hidden), act = room<T>(m * hidden), y = room<T>(m * width),
         dx = room<T>(m * width);
    mlp_forward(p, x.data(), pre.data(), y.data());
    mlp_forward<T>(p, x.data(), nullptr, y.data());
    mlp_backward(p, dy.data(), pre.data(), act.data(), dx.data());
    Results results;
    results.add(y);
    results.add(dx);
    results.add(act);
    return results;
  });
}

struct Shape {
  std::int64_t batch, heads, queries, keys, width;
  bool whole = false, padding = false, dropout = false, sink = false, squared_relu = false;
};

template <class T>
void attention(const Shape& s) {
  SCOPED_TRACE(testing::Message() << "attention " << s.batch << " " << s.heads << " " << s.queries << " "
                                  << s.keys << " " << s.width << " whole " << s.whole);
  const std::int64_t d = s.heads * s.width, q_n = s.batch * s.queries * d, k_n = s.batch * s.keys * d;
  const auto q = draw_small<T>(q_n, 1), k = draw_small<T>(k_n, 2), v = draw_small<T>(k_n, 3),
             d_out = draw_small<T>(q_n, 4);
  const std::int64_t gains = s.whole ? d : s.width;
  const auto query_gain = draw_small<float>(gains, 5), key_gain = draw_small<float>(gains, 6);
  const std::int64_t half = s.width / 2, positions = std::max(s.queries, s.keys);
  const auto cos = draw_small<float>(positions * half, 7), sin = draw_small<float>(positions * half, 8);
  const auto sinks = draw_small<float>(s.heads, 9);
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(s.batch), std::max<std::int64_t>(1, s.keys - 3));
  agree<T>([&] {
    AttentionProblem p;
    p.batch = s.batch;
    p.heads = s.heads;
    p.queries = s.queries;
    p.keys = s.keys;
    p.width = s.width;
    p.causal = s.keys >= s.queries;
    p.score.scale = 0.3;
    p.norm = {query_gain.data(), key_gain.data(), false, s.whole, 1e-6};
    if (s.width % 2 == 0) {
      p.cos = cos.data();
      p.sin = sin.data();
    }
    if (s.padding) p.key_lengths = p.query_lengths = lengths.data();
    if (s.sink) p.sinks = sinks.data();
    if (s.squared_relu) p.score.kind = WeightRule::kSquaredRelu;
    if (s.dropout) {
      p.dropout.p = 0.25;
      p.dropout.seed = 9;
    }
    auto out = room<T>(q_n), dq = room<T>(q_n), dk = room<T>(k_n), dv = room<T>(k_n);
    auto softmax = room<float>(2 * s.batch * s.heads * s.queries), wide = room<float>(q_n);
    auto d_query_gain = room<float>(gains), d_key_gain = room<float>(gains), d_sinks = room<float>(s.heads);
    auto stats = room<AttentionStats>(s.heads);
    const auto in = [&](const std::vector<T>& x, std::int64_t tokens) {
      return Heads<const T>{x.data(), tokens * d, d};
    };
    const auto to = [&](std::vector<T>& x, std::int64_t tokens) { return Heads<T>{x.data(), tokens * d, d}; };
    attention_forward<T>(p, in(q, s.queries), in(k, s.keys), in(v, s.keys), out.data(), wide.data(),
                         softmax.data(), stats.data());
    attention_backward<T>(p, in(q, s.queries), in(k, s.keys), in(v, s.keys), wide.data(), softmax.data(),
                          d_out.data(), to(dq, s.queries), to(dk, s.keys), to(dv, s.keys),
                          d_query_gain.data(), d_key_gain.data(), s.sink ? d_sinks.data() : nullptr);
    Results results;
    results.add(out);
    results.add(dv);
    // Through the norm a gradient may be larger than its inputs by 1 / their deviation; values are enough
    // here.
    for (const AttentionStats& one : stats)
      EXPECT_TRUE(std::isfinite(one.entropy) != s.squared_relu && std::isfinite(one.logit_rms));
    for (const std::vector<T>& x : {dq, dk})
      for (const T value : x) EXPECT_TRUE(std::isfinite(to_float(value)));
    if (!s.sink) d_sinks.clear();
    for (const std::vector<float>& x : {d_query_gain, d_key_gain, d_sinks})
      for (const float value : x) EXPECT_TRUE(std::isfinite(value));
    return results;
  });
}

template <class T>
void every_edge() {
  linear<T>(1, 1, 1);
  linear<T>(1, 8, 3);
  linear<T>(31, 17, 15);
  linear<T>(33, 31, 49);
  linear<T>(65, 66, 33);
  mlp<T>(1, 3, 5, Activation::kGeluTanh);
  mlp<T>(33, 17, 35, Activation::kGeluErf);
  mlp<T>(34, 16, 33, Activation::kRelu);
  attention<T>({1, 1, 1, 1, 8});
  attention<T>({2, 3, 5, 5, 9});
  attention<T>({2, 2, 33, 33, 24, true, true});
  attention<T>({1, 2, 40, 300, 18, false, false, true});
  attention<T>({1, 2, 70, 7, 130});
  attention<T>({2, 3, 33, 300, 9, false, true, true, true});
  attention<T>({1, 2, 70, 7, 24, false, false, false, true});
  attention<T>({2, 3, 33, 300, 9, false, true, true, false, true});
}

TEST(KernelEdges, Fp32StaysInsideItsArraysAndAgrees) {
  every_edge<float>();
}

TEST(KernelEdges, Bf16StaysInsideItsArraysAndAgrees) {
  every_edge<bf16>();
}

}  // namespace
}  // namespace evenkeel::kernels
