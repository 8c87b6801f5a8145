#include "evenkeel/ops/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "evenkeel/ops/rotary.h"
#include "evenkeel/ops/threads.h"
#include "tests/support/compare.h"
#include "tests/support/gradcheck.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

using test::distance;
using test::random_normal;
using test::tolerance;

enum class Norm { kOff, kShared, kOwn, kWhole };

struct AttentionCase {
  std::int64_t batch, heads, queries, width;
  bool causal = true;
  std::int64_t keys = 0;  ///< cross-attention when positive
  Norm norm = Norm::kOff;
  bool rotary = false, padding = false;
  double softcap = 0, dropout = 0, temperature = 1;
  bool sink = false, squared_relu = false;
  double positions = 0;  ///< of squared ReLU
};

std::string name(const AttentionCase& c) {
  return testing::PrintToString(std::vector<std::int64_t>{c.batch, c.heads, c.queries, c.width, c.keys}) +
         (c.causal ? " causal" : "") + " norm " + std::to_string(static_cast<int>(c.norm)) +
         (c.rotary ? " rotary" : "") + (c.padding ? " padding" : "") + " cap " + std::to_string(c.softcap) +
         " dropout " + std::to_string(c.dropout) + (c.sink ? " sink" : "") +
         (c.squared_relu ? " squared ReLU" : "");
}

at::Tensor leaf(at::IntArrayRef sizes, std::uint64_t seed, at::ScalarType type) {
  return random_normal(sizes.vec(), seed, at::kFloat).to(at::kBFloat16).to(type).requires_grad_(true);
}

struct Arranged {
  AttentionInputs in;
  AttentionOptions options;
};

Arranged make(const AttentionCase& c, at::ScalarType type) {
  const std::int64_t d = c.heads * c.width;
  Arranged s;
  if (c.keys > 0) {
    s.in.x = leaf({c.batch * c.queries, d}, 1, type);
    s.in.memory = leaf({c.batch * c.keys, 2 * d}, 2, type);
  } else {
    s.in.x = leaf({c.batch * c.queries, 3 * d}, 1, type);
  }
  if (c.norm != Norm::kOff) {
    const std::vector<std::int64_t> shape = c.norm == Norm::kShared ? std::vector<std::int64_t>{c.width}
                                            : c.norm == Norm::kOwn
                                                ? std::vector<std::int64_t>{c.heads, c.width}
                                                : std::vector<std::int64_t>{d};
    const at::ScalarType gain_type = type == at::kDouble ? at::kDouble : at::kFloat;
    s.in.query_gain = leaf(shape, 3, gain_type);
    s.in.key_gain = leaf(shape, 4, gain_type);
  }
  if (c.sink) s.in.sink = leaf({c.heads}, 5, type == at::kDouble ? at::kDouble : at::kFloat);
  if (c.rotary) {
    const auto [cos, sin] = rotary_table(std::max(c.queries, c.keys), c.width, 10000);
    s.in.cos = cos.to(type == at::kDouble ? at::kDouble : at::kFloat);
    s.in.sin = sin.to(s.in.cos.scalar_type());
  }
  if (c.padding) {
    const std::int64_t keys = c.keys > 0 ? c.keys : c.queries;
    std::vector<std::int64_t> q, k;
    for (std::int64_t b = 0; b < c.batch; ++b) {
      k.push_back(std::max<std::int64_t>(1, keys - 3 * b));
      q.push_back(c.keys > 0 ? std::max<std::int64_t>(1, c.queries - b) : k.back());
    }
    s.in.query_lengths = at::tensor(q);
    s.in.key_lengths = at::tensor(k);
  }
  s.options.batch = c.batch;
  s.options.heads = c.heads;
  s.options.causal = c.causal;
  s.options.score.scale = 1 / (c.temperature * std::sqrt(static_cast<double>(c.width)));
  s.options.score.softcap = c.softcap;
  if (c.squared_relu) s.options.score.kind = kernels::WeightRule::kSquaredRelu;
  s.options.score.positions = c.positions;
  s.options.own_gains = c.norm == Norm::kOwn;
  s.options.whole = c.norm == Norm::kWhole;
  s.options.dropout = {c.dropout, 11, 22, 3};
  return s;
}

std::vector<at::Tensor> leaves(const Arranged& s) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& t : {s.in.x, s.in.memory, s.in.query_gain, s.in.key_gain, s.in.sink})
    if (t.defined()) all.push_back(t);
  return all;
}

const std::vector<AttentionCase> kPlainCases{
    {1, 1, 1, 8},
    {2, 1, 2, 16},
    {1, 2, 7, 16},
    {2, 2, 33, 8},
    {1, 1, 64, 128},
    {2, 3, 40, 32, true, 0, Norm::kOff, true},
    {1, 2, 50, 24, true, 0, Norm::kOff, true},
    {2, 2, 37, 16, true, 0, Norm::kShared, true},
    {2, 2, 37, 16, true, 0, Norm::kOwn, true},
    {2, 2, 37, 16, true, 0, Norm::kWhole, true},
    {2, 2, 21, 48, false},
    {1, 1, 300, 16},
    {1, 1, 530, 8, false},
    {2, 2, 35, 16, false, 0, Norm::kOff, false, true},
    {2, 2, 35, 16, true, 0, Norm::kOff, true, true},
    {2, 2, 9, 16, false, 41, Norm::kOff, false, true},
    {2, 2, 9, 16, false, 1},
    {1, 2, 12, 16, true, 20, Norm::kShared, true},
    {2, 2, 33, 16, true, 0, Norm::kOff, false, false, 2.0},
    {2, 2, 33, 16, true, 0, Norm::kOff, false, false, 0, 0.3},
    {1, 2, 45, 16, true, 0, Norm::kShared, true, true, 3.0, 0.2, 0.7},
};

/// Each of them as it is, with a sink, and with squared ReLU.
std::vector<AttentionCase> all_cases() {
  std::vector<AttentionCase> all = kPlainCases;
  for (AttentionCase c : kPlainCases) {
    c.sink = true;
    all.push_back(c);
    c.sink = false;
    c.squared_relu = true;
    all.push_back(c);
  }
  all.push_back({1, 2, 33, 16, true, 0, Norm::kOff, true, true, 0, 0, 1, false, true, 100});
  // Queries that see no key.
  all.push_back({1, 2, 40, 16, true, 7, Norm::kOff, false, false, 0, 0, 1, true});
  all.push_back({1, 2, 40, 16, true, 7, Norm::kOff, false, false, 0, 0, 1, false, true});
  return all;
}
const std::vector<AttentionCase> kCases = all_cases();

void check(const AttentionCase& c, at::ScalarType type) {
  const Arranged fused = make(c, type), plain = make(c, at::kDouble);
  const at::Tensor y = attention(fused.in, fused.options), y2 = attention_reference(plain.in, plain.options);
  ASSERT_EQ(y.scalar_type(), type);
  // A square has twice the relative error of a logit, and no normalisation holds the largest of them down.
  const double limit = (c.squared_relu ? 2 : 1) * tolerance(type);
  EXPECT_LT(distance(y, y2), limit);
  const at::Tensor dy = leaf(y2.sizes(), 9, at::kDouble).detach();
  (y.to(at::kDouble) * dy).sum().backward();
  (y2 * dy).sum().backward();
  const auto a = leaves(fused), b = leaves(plain);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(distance(a[i].grad(), b[i].grad()), 2 * limit) << "leaf " << i;
}

TEST(Attention, EqualsTheReferenceInDoubleOnEveryInstructionSet) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const AttentionCase& c : kCases) {
        SCOPED_TRACE(testing::Message() << type << " " << name(c));
        check(c, type);
      }
  });
}

TEST(Attention, TheReferencePassesAGradientCheck) {
  for (const Norm norm : {Norm::kOff, Norm::kShared, Norm::kOwn, Norm::kWhole}) {
    const Arranged s = make({2, 2, 4, 4, true, 0, norm, true, false, 2.0, 0.2}, at::kDouble);
    EXPECT_LT(
        test::gradient_error([&] { return attention_reference(s.in, s.options).square().sum(); }, leaves(s)),
        1e-7);
  }
  for (const bool sink : {true, false})
    for (const double cap : {0.0, 2.0}) {
      const Arranged s =
          make({2, 2, 5, 4, !sink, 0, Norm::kOff, false, true, cap, 0.2, 0.7, sink, !sink}, at::kDouble);
      EXPECT_LT(test::gradient_error([&] { return attention_reference(s.in, s.options).square().sum(); },
                                     leaves(s)),
                1e-7);
    }
}

/// Output and gradients of one head of one sequence without transforms, score by score, for the upstream
/// gradient d_out. Everything is [rows, K], double, contiguous.
struct Loop {
  at::Tensor y, dq, dk, dv;
  double d_sink = 0;
};
Loop naive_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& d_out,
                     const kernels::ScoreRule& rule, bool causal, const double* sink,
                     std::int64_t real_keys) {
  const std::int64_t queries = q.size(0), keys = k.size(0), width = q.size(1);
  Loop out{at::zeros_like(q), at::zeros_like(q), at::zeros_like(k), at::zeros_like(v)};
  const auto dot = [&](const at::Tensor& a, std::int64_t i, const at::Tensor& b, std::int64_t j) {
    double sum = 0;
    for (std::int64_t c = 0; c < width; ++c)
      sum += a.data_ptr<double>()[i * width + c] * b.data_ptr<double>()[j * width + c];
    return sum;
  };
  const auto add = [&](const at::Tensor& to, std::int64_t i, double factor, const at::Tensor& from,
                       std::int64_t j) {
    for (std::int64_t c = 0; c < width; ++c)
      to.data_ptr<double>()[i * width + c] += factor * from.data_ptr<double>()[j * width + c];
  };
  for (std::int64_t i = 0; i < queries; ++i) {
    const std::int64_t n = causal ? std::min(real_keys, i + 1 + keys - queries) : real_keys;
    std::vector<double> z, slope, a;
    double sum = sink != nullptr ? std::exp(*sink) : 0;
    for (std::int64_t j = 0; j < n; ++j) {
      z.push_back(rule.scale * dot(q, i, k, j));
      slope.push_back(rule.scale);
      if (rule.softcap > 0) {
        const double t = std::tanh(z.back() / rule.softcap);
        z.back() = rule.softcap * t;
        slope.back() *= 1 - t * t;
      }
      sum += std::exp(z.back());
    }
    const bool squared = rule.kind == kernels::WeightRule::kSquaredRelu;
    const double root = std::sqrt(rule.positions > 0 ? rule.positions : static_cast<double>(real_keys));
    for (const double one : z)
      a.push_back(squared ? std::max(0.0, one) * std::max(0.0, one) / root : std::exp(one) / sum);
    double shared = 0;  // <d out, out>
    for (std::size_t j = 0; j < a.size(); ++j) {
      add(out.y, i, a[j], v, static_cast<std::int64_t>(j));
      add(out.dv, static_cast<std::int64_t>(j), a[j], d_out, i);
      shared += a[j] * dot(d_out, i, v, static_cast<std::int64_t>(j));
    }
    for (std::size_t j = 0; j < a.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      const double dp = dot(d_out, i, v, key),
                   dz = slope[j] * (squared ? 2 * std::max(0.0, z[j]) / root * dp : a[j] * (dp - shared));
      add(out.dq, i, dz, k, key);
      add(out.dk, key, dz, q, i);
    }
    if (sink != nullptr) out.d_sink -= std::exp(*sink) / sum * shared;
  }
  return out;
}

TEST(Attention, SinksAndSquaredReluEqualANaiveLoop) {
  const std::int64_t queries = 7, keys = 9, width = 5;
  for (const bool fused : {false, true})
    for (const bool squared : {false, true})
      for (const bool causal : {false, true})
        for (const double cap : {0.0, 1.5})
          for (const std::int64_t real : {9, 6}) {
            const at::ScalarType type = fused ? at::kFloat : at::kDouble;
            const at::Tensor x = leaf({queries, width}, 1, type), memory = leaf({keys, 2 * width}, 2, type),
                             d_out = leaf({queries, width}, 3, type).detach();
            AttentionInputs in;
            in.x = x;
            in.memory = memory;
            in.key_lengths = at::tensor(std::vector<std::int64_t>{real});
            AttentionOptions options;
            options.causal = causal;
            options.score = {0.6, cap};
            const double sink = 0.75;
            if (squared) options.score.kind = kernels::WeightRule::kSquaredRelu;
            else in.sink = at::full({1}, sink, type).requires_grad_(true);
            const at::Tensor y = attention(in, options);
            (y * d_out).sum().backward();
            const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble).contiguous(); };
            const Loop loop = naive_attention(wide(x), wide(memory.narrow(1, 0, width)),
                                              wide(memory.narrow(1, width, width)), wide(d_out),
                                              options.score, causal, squared ? nullptr : &sink, real);
            const double limit = fused ? test::kFp32 : 1e-13;
            SCOPED_TRACE(testing::Message() << "fused " << fused << " squared ReLU " << squared << " causal "
                                            << causal << " cap " << cap << " keys " << real);
            EXPECT_LT(distance(y, loop.y), limit);
            EXPECT_LT(distance(x.grad(), loop.dq), limit);
            EXPECT_LT(distance(memory.grad(), at::cat({loop.dk, loop.dv}, 1)), limit);
            if (squared) continue;
            EXPECT_NEAR(in.sink.grad().item<double>(), loop.d_sink, 10 * limit);
          }
}

/// One query that looks at keys of the logits z, and whose output is its weights.
Arranged weights_of(const std::vector<double>& z, at::ScalarType type) {
  const auto n = static_cast<std::int64_t>(z.size());
  Arranged s;
  s.in.x = at::zeros({1, n}, type);
  s.in.x[0][0] = 1;
  s.in.memory = at::cat({at::zeros({n, n}, type), at::eye(n, at::TensorOptions(type))}, 1);
  for (std::int64_t j = 0; j < n; ++j) s.in.memory[j][0] = z[static_cast<std::size_t>(j)];
  s.options.causal = false;
  return s;
}

TEST(Attention, KnownWeightsOfASink) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const double precision = type == at::kDouble ? 5e-8 : 3e-7;  // as many digits as are given; exp in fp32
    const auto expect = [&](const at::Tensor& y, const std::vector<double>& expected) {
      for (std::size_t j = 0; j < expected.size(); ++j)
        EXPECT_NEAR(y[0][static_cast<std::int64_t>(j)].item<double>(), expected[j], precision) << j;
    };
    Arranged s = weights_of({1, 2, 3}, type);
    std::vector<kernels::AttentionStats> stats;
    attention(s.in, s.options, &stats);
    EXPECT_NEAR(stats[0].entropy, 0.8323956, precision);
    EXPECT_EQ(stats[0].sink_share, 0);

    s.in.sink = at::zeros({1}, type);
    const at::Tensor off_by_one = attention(s.in, s.options, &stats);
    expect(off_by_one, {0.0871443, 0.2368828, 0.6439143});
    EXPECT_NEAR(off_by_one.sum().item<double>(), 0.9679414, precision);
    EXPECT_NEAR(stats[0].sink_share, 1 - 0.9679414, precision);

    s.in.sink.fill_(2);
    const at::Tensor y = attention(s.in, s.options, &stats);
    expect(y, {0.0723295, 0.1966119, 0.5344466});
    EXPECT_NEAR(y.sum().item<double>(), 0.8033881, precision);
    EXPECT_NEAR(stats[0].entropy, 1.1644062, precision);
    EXPECT_NEAR(stats[0].entropy_norm, 1.1644062 / std::log(4.0), precision);
    EXPECT_EQ(stats[0].logit_max, 3);

    // A sink above every logit is not the largest of them.
    s.in.sink.fill_(30);
    attention(s.in, s.options, &stats);
    EXPECT_EQ(stats[0].logit_max, 3);
    EXPECT_EQ(stats[0].logit_absmax, 3);
    EXPECT_NEAR(stats[0].sink_share, 1, precision);
  }
}

TEST(Attention, TheLogOfTheDenominatorCountsTheSink) {
  const float q[] = {1}, k[] = {1, 2, 3}, v[] = {0, 0, 0}, sink = 2;
  float out = 0, softmax[2];
  kernels::AttentionProblem p;
  p.batch = p.heads = p.queries = p.width = 1;
  p.keys = 3;
  p.sinks = &sink;
  kernels::attention_forward<float>(p, {q, 1, 1}, {k, 3, 1}, {v, 3, 1}, &out, &out, softmax, nullptr);
  EXPECT_NEAR(softmax[0] + std::log(2.0) * softmax[1], 3.6265234, 1e-6);
}

TEST(Attention, KnownWeightsOfSquaredRelu) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    Arranged s = weights_of({-1, 2, 3}, type);
    s.options.score.kind = kernels::WeightRule::kSquaredRelu;
    std::vector<kernels::AttentionStats> stats;
    const auto expect = [&](const std::vector<double>& expected) {
      const at::Tensor y = attention(s.in, s.options, &stats);
      for (std::size_t j = 0; j < expected.size(); ++j)
        EXPECT_NEAR(y[0][static_cast<std::int64_t>(j)].item<double>(), expected[j],
                    type == at::kDouble ? 1e-14 : 1e-6);
    };
    expect({0, 4 / std::sqrt(3.0), 9 / std::sqrt(3.0)});
    s.options.score.positions = 4;
    expect({0, 2, 4.5});
    EXPECT_EQ(stats[0].logit_max, 3);
    EXPECT_EQ(stats[0].logit_absmax, 3);
    EXPECT_NEAR(stats[0].logit_rms, std::sqrt(14.0 / 3), 1e-6);
    EXPECT_TRUE(std::isnan(stats[0].entropy));
    EXPECT_TRUE(std::isnan(stats[0].entropy_norm));
  }
}

TEST(Attention, PaddingDoesNotChangeWhatSquaredReluDividesBy) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    Arranged s = make({1, 2, 30, 16, false}, type);
    s.options.score.kind = kernels::WeightRule::kSquaredRelu;
    const at::Tensor alone = attention(s.in, s.options);
    s.in.x = at::cat({s.in.x.detach(), leaf({9, 96}, 8, type).detach()}, 0);
    s.in.query_lengths = s.in.key_lengths = at::tensor(std::vector<std::int64_t>{30});
    EXPECT_LT(distance(attention(s.in, s.options).narrow(0, 0, 30), alone), type == at::kFloat ? 1e-7 : 1e-15)
        << type;
  }
}

TEST(Attention, ASequenceWithoutKeysGivesNothingAndNoGradient) {
  for (const bool sink : {true, false})
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
      Arranged s = make({2, 2, 5, 16, false, 6, Norm::kOff, false, false, 0, 0, 1, sink, !sink}, type);
      s.in.key_lengths = at::tensor(std::vector<std::int64_t>{0, 6});
      const at::Tensor y = attention(s.in, s.options);
      EXPECT_EQ(y.narrow(0, 0, 5).abs().max().item<double>(), 0);
      EXPECT_GT(y.narrow(0, 5, 5).abs().min().item<double>(), 0);
      y.to(at::kDouble).square().sum().backward();
      EXPECT_EQ(s.in.x.grad().narrow(0, 0, 5).abs().max().item<double>(), 0);
      for (const at::Tensor& t : leaves(s)) EXPECT_TRUE(t.grad().isfinite().all().item<bool>());
    }
}

TEST(Attention, ASinkIsRefusedWhereThereIsNoSoftmaxAndOfTheWrongSize) {
  Arranged s = make({1, 2, 5, 8, true, 0, Norm::kOff, false, false, 0, 0, 1, true}, at::kFloat);
  s.options.score.kind = kernels::WeightRule::kSquaredRelu;
  EXPECT_THROW(attention(s.in, s.options), std::invalid_argument);
  s.options.score.kind = kernels::WeightRule::kSoftmax;
  s.in.sink = at::zeros({3}, at::kFloat);
  EXPECT_THROW(attention(s.in, s.options), std::invalid_argument);
}

using Stats = kernels::AttentionStats;

void expect_near(const Stats& a, const Stats& b, double relative) {
  const auto near = [&](double x, double y, const char* what) {
    if (std::isnan(x) && std::isnan(y)) return;
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
  near(a.sink_share, b.sink_share, "sink_share");
}

/// The definitions, one number at a time, from queries and keys [B H, T, K] as they enter the product.
std::vector<Stats> naive(const Arranged& s) {
  const auto [q, k] = query_key_reference(s.in, s.options);
  const std::int64_t queries = q.size(1), keys = k.size(1), width = q.size(2);
  const auto row = [&](const at::Tensor& x, std::int64_t site, std::int64_t t) {
    return x.detach()[site][t].contiguous();
  };
  const auto length = [&](const at::Tensor& lengths, std::int64_t b, std::int64_t all) {
    return lengths.defined() ? lengths[b].item<std::int64_t>() : all;
  };
  const auto dot = [&](const at::Tensor& x, const at::Tensor& y) {
    double sum = 0;
    for (std::int64_t c = 0; c < width; ++c) sum += x.data_ptr<double>()[c] * y.data_ptr<double>()[c];
    return sum;
  };
  std::vector<Stats> out;
  for (std::int64_t h = 0; h < s.options.heads; ++h) {
    Stats sum;
    sum.logit_max = -std::numeric_limits<double>::infinity();
    double pairs = 0, rows = 0, wide_rows = 0, all_keys = 0;
    for (std::int64_t b = 0; b < s.options.batch; ++b) {
      const std::int64_t site = b * s.options.heads + h, seen_keys = length(s.in.key_lengths, b, keys);
      for (std::int64_t j = 0; j < seen_keys; ++j) {
        sum.k_norm += std::sqrt(dot(row(k, site, j), row(k, site, j)));
        all_keys += 1;
      }
      for (std::int64_t i = 0; i < length(s.in.query_lengths, b, queries); ++i) {
        const at::Tensor query = row(q, site, i);
        const double squares = dot(query, query);
        std::vector<double> z;
        for (std::int64_t j = 0; j < seen_keys; ++j) {
          if (s.options.causal && j > i + keys - queries) continue;
          const at::Tensor key = row(k, site, j);
          const double product = dot(query, key), cap = s.options.score.softcap;
          sum.qk_cosine += product / std::sqrt(squares * dot(key, key));
          z.push_back(product * s.options.score.scale);
          if (cap > 0) z.back() = cap * std::tanh(z.back() / cap);
          sum.logit_max = std::max(sum.logit_max, z.back());
          sum.logit_absmax = std::max(sum.logit_absmax, std::abs(z.back()));
          sum.logit_rms += z.back() * z.back();
          pairs += 1;
        }
        if (z.empty()) continue;
        sum.q_norm += std::sqrt(squares);
        rows += 1;
        const std::size_t seen_by_row = z.size();
        if (s.in.sink.defined()) z.push_back(s.in.sink[h].item<double>());
        const double top = *std::max_element(z.begin(), z.end());
        double total = 0, entropy = 0;
        for (const double x : z) total += std::exp(x - top);
        for (const double x : z) {
          const double p = std::exp(x - top) / total;
          if (p > 0) entropy -= p * std::log(p);
        }
        if (s.in.sink.defined()) sum.sink_share += std::exp(z.back() - top) / total;
        if (seen_by_row < 2) continue;
        wide_rows += 1;
        sum.entropy += entropy;
        sum.entropy_norm += entropy / std::log(static_cast<double>(z.size()));
      }
    }
    sum.logit_rms = std::sqrt(sum.logit_rms / pairs);
    sum.qk_cosine /= pairs;
    sum.q_norm /= rows;
    sum.k_norm /= all_keys;
    sum.entropy /= std::max(wide_rows, 1.0);
    sum.entropy_norm /= std::max(wide_rows, 1.0);
    sum.sink_share /= rows;
    if (s.options.score.kind != kernels::WeightRule::kSoftmax) sum.entropy = sum.entropy_norm = std::nan("");
    out.push_back(sum);
  }
  return out;
}

TEST(Attention, StatisticsEqualANaiveLoop) {
  for (const double spread : {1.0, 6.0, 300.0})  // large scores saturate the softmax
    for (const AttentionCase& c : kCases) {
      if (c.queries > 100) continue;  // the loop is slow
      SCOPED_TRACE(testing::Message() << name(c) << " spread " << spread);
      Arranged s = make(c, at::kDouble), single = make(c, at::kFloat);
      for (Arranged* each : {&s, &single}) each->options.score.scale *= spread;
      const std::vector<Stats> expected = naive(s);
      std::vector<Stats> exact, fused;
      attention_reference(s.in, s.options, Rounding::kNone, &exact);
      attention(single.in, single.options, &fused);
      for (std::size_t h = 0; h < expected.size(); ++h) {
        expect_near(exact[h], expected[h], 1e-11);
        // A logit of size z is rounded by 6e-8 z, and the entropy of a row moves by up to that much times its
        // own size.
        expect_near(fused[h], expected[h], 1e-5 * std::max(1.0, expected[h].logit_absmax / 10));
      }
    }
}

TEST(Attention, StatisticsOfUniformRows) {
  Arranged s = make({1, 1, 12, 4}, at::kDouble);
  s.in.x = s.in.x.detach() * 0;
  std::vector<Stats> stats;
  attention_reference(s.in, s.options, Rounding::kNone, &stats);
  double expected = 0;
  for (int n = 2; n <= 12; ++n) expected += std::log(n) / 11;
  EXPECT_NEAR(stats[0].entropy, expected, 1e-12);
  EXPECT_NEAR(stats[0].entropy_norm, 1, 1e-12);
  EXPECT_EQ(stats[0].qk_cosine, 0);
  EXPECT_EQ(stats[0].logit_max, 0);
}

TEST(Attention, StatisticsOfOneToken) {
  const Arranged s = make({1, 1, 1, 8}, at::kDouble);
  std::vector<Stats> stats;
  attention_reference(s.in, s.options, Rounding::kNone, &stats);
  EXPECT_EQ(stats[0].entropy, 0);
  EXPECT_EQ(stats[0].entropy_norm, 0);
  const double cosine = stats[0].logit_max * std::sqrt(8.0) / (stats[0].q_norm * stats[0].k_norm);
  EXPECT_NEAR(stats[0].qk_cosine, cosine, 1e-12);
}

/// Statistics of the kernels and of the reference in double, for queries, keys and values x.
std::vector<Stats> both(const Arranged& s, const at::Tensor& x) {
  Arranged fused = s, plain = s;
  fused.in.x = x.to(at::kFloat);
  plain.in.x = x.to(at::kDouble);
  std::vector<Stats> a, b;
  attention(fused.in, fused.options, &a);
  attention_reference(plain.in, plain.options, Rounding::kNone, &b);
  return {a[0], b[0]};
}

TEST(Attention, ANonFiniteLogitIsSeenInItsStatistics) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {std::nan(""), infinity}) {
    const Arranged s = make({1, 1, 20, 8}, at::kDouble);
    at::Tensor x = s.in.x.detach().clone();
    x[10][1] = bad;  // a query
    for (const Stats& stats : both(s, x)) {
      EXPECT_FALSE(std::isfinite(stats.logit_rms)) << bad;
      EXPECT_FALSE(std::isfinite(stats.logit_absmax)) << bad;
      EXPECT_TRUE(std::isnan(stats.entropy)) << bad << " " << stats.entropy;
      EXPECT_TRUE(std::isnan(stats.entropy_norm)) << bad;
      EXPECT_FALSE(std::isfinite(stats.q_norm)) << bad;
      EXPECT_TRUE(std::isfinite(stats.k_norm)) << bad;
    }
  }
}

TEST(Attention, WhatNobodySeesLeavesStatisticsAlone) {
  // The last key of 20 is padding: nothing of it may reach a number, nor may its query's.
  Arranged s = make({1, 1, 20, 8}, at::kDouble);
  s.in.query_lengths = s.in.key_lengths = at::tensor(std::vector<std::int64_t>{19});
  const at::Tensor x = s.in.x.detach();
  const std::vector<Stats> expected = both(s, x);
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    at::Tensor y = x.clone();
    y[19].fill_(bad);
    const std::vector<Stats> stats = both(s, y);
    for (std::size_t i = 0; i < stats.size(); ++i) expect_near(stats[i], expected[i], 0);
  }
}

TEST(Attention, TheReferenceRoundsBothProductsToBf16) {
  // One query and one key of width 8 with one number each: 129/128 squared is 1.0157, which bf16 does not
  // have.
  Arranged s = make({1, 1, 1, 8}, at::kFloat);
  s.options.score.scale = 1;
  s.in.x = at::zeros({1, 24}, at::kFloat);
  for (const std::int64_t part : {0, 1, 2}) s.in.x[0][8 * part] = 129.0f / 128;
  std::vector<Stats> exact, rounded;
  attention_reference(s.in, s.options, Rounding::kNone, &exact);
  attention_reference(s.in, s.options, Rounding::kBf16, &rounded);
  EXPECT_EQ(exact[0].logit_max, 129.0 * 129 / (128 * 128));
  EXPECT_EQ(rounded[0].logit_max, 130.0 / 128);
  // A value that bf16 does not have, under a weight of 1.
  s.in.x[0][16] = 1 + 1.0f / 256;
  EXPECT_EQ(attention_reference(s.in, s.options, Rounding::kNone)[0][0].item<double>(), 1 + 1.0 / 256);
  EXPECT_EQ(attention_reference(s.in, s.options, Rounding::kBf16)[0][0].item<double>(), 1);
}

TEST(Attention, StatisticsLeavePaddingOutAndSurviveSeveralKeyBlocks) {
  // One sequence of 300 keys against the same one padded to 340: equal numbers.
  Arranged s = make({1, 1, 300, 16}, at::kFloat);
  std::vector<kernels::AttentionStats> alone, padded;
  attention(s.in, s.options, &alone);
  at::Tensor longer = random_normal({340, 48}, 77, at::kFloat) * 100;
  longer.narrow(0, 0, 300).copy_(s.in.x.detach());
  s.in.x = longer;
  s.in.query_lengths = s.in.key_lengths = at::tensor(std::vector<std::int64_t>{300});
  attention(s.in, s.options, &padded);
  EXPECT_EQ(alone[0].entropy, padded[0].entropy);
  EXPECT_EQ(alone[0].logit_max, padded[0].logit_max);
  EXPECT_EQ(alone[0].logit_rms, padded[0].logit_rms);
  EXPECT_EQ(alone[0].k_norm, padded[0].k_norm);
  EXPECT_EQ(alone[0].qk_cosine, padded[0].qk_cosine);
}

TEST(Attention, SaturatedRowsHaveEntropyZeroAndExactMaxima) {
  Arranged s = make({1, 1, 8, 8}, at::kFloat);
  s.in.x = s.in.x.detach() * 1000;
  std::vector<kernels::AttentionStats> stats;
  const at::Tensor y = attention(s.in, s.options, &stats);
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_GT(stats[0].logit_max, 1e5);
  EXPECT_LT(stats[0].entropy, 1e-6);
}

/// Scores of 1e6 that differ by small integers, all of them exact in fp32.
Arranged large_scores(at::ScalarType type) {
  Arranged s = make({2, 1, 40, 16}, at::kFloat);
  at::Tensor x = (s.in.x.detach() * 2).round();
  x.narrow(1, 0, 1).fill_(2000);
  x.narrow(1, 16, 1).fill_(2000);
  s.in.x = x.to(type).requires_grad_(true);
  s.options.score.scale = 0.25;
  return s;
}

TEST(Attention, LargeScoresLoseNoDigitOfTheirDifferences) {
  test::with_each_instruction_set([] {
    Arranged fused = large_scores(at::kFloat), plain = large_scores(at::kDouble);
    std::vector<kernels::AttentionStats> stats;
    const at::Tensor y = attention(fused.in, fused.options, &stats),
                     z = attention_reference(plain.in, plain.options);
    EXPECT_GT(stats[0].logit_max, 1e6);
    EXPECT_GT(stats[0].entropy, 0.1);
    const at::Tensor weight = random_normal(y.sizes().vec(), 31, at::kDouble);
    (y.to(at::kDouble) * weight).sum().backward();
    (z * weight).sum().backward();
    // exp2 is good to 2e-7 and some 16 products are summed. A gradient of queries is a sum, of zero, over
    // keys times 2000, hence relative to the largest.
    EXPECT_LT(distance(y.to(at::kDouble), z), 5e-6);
    EXPECT_LT(distance(fused.in.x.grad().to(at::kDouble), plain.in.x.grad()), test::kFp32);
  });
}

TEST(Attention, RowsThatAlmostChooseOneKeyKeepTheirSmallGradients) {
  // With one weight near 1 the gradients of a row's scores are small differences: <d out, out> from an output
  // rounded to bf16 would drown them.
  test::with_each_instruction_set([] {
    Arranged fused = make({2, 2, 40, 16}, at::kBFloat16), plain = make({2, 2, 40, 16}, at::kDouble);
    for (Arranged* s : {&fused, &plain}) s->options.score.scale *= 16;
    std::vector<kernels::AttentionStats> stats;
    const at::Tensor y = attention(fused.in, fused.options, &stats),
                     z = attention_reference(plain.in, plain.options);
    EXPECT_LT(stats[0].entropy, 0.2);
    const at::Tensor weight = leaf(z.sizes(), 31, at::kDouble).detach();
    (y.to(at::kDouble) * weight).sum().backward();
    (z * weight).sum().backward();
    for (const std::int64_t part : {0, 1}) {  // queries, keys
      const auto of = [&](const Arranged& s) {
        return s.in.x.grad().narrow(1, part * 32, 32).to(at::kDouble);
      };
      const at::Tensor error = of(fused) - of(plain);
      // Each score's gradient is rounded to bf16, 2e-3 of its size at most; a fifth of that on average.
      EXPECT_LT((error.norm() / of(plain).norm()).item<double>(), 0.004) << part;
    }
  });
}

TEST(Attention, HugeScoresChooseOneKey) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      Arranged fused = make({1, 2, 300, 16}, type), plain = make({1, 2, 300, 16}, at::kDouble);
      for (Arranged* s : {&fused, &plain}) {
        s->in.x = s->in.x.detach().clone();
        s->in.x.narrow(1, 0, 64) *= std::ldexp(1.0, 24);  // exact; scores of 1e15
        s->in.x.requires_grad_(true);
      }
      const at::Tensor y = attention(fused.in, fused.options),
                       z = attention_reference(plain.in, plain.options);
      EXPECT_TRUE(y.to(at::kDouble).equal(z)) << type;
      y.to(at::kFloat).square().sum().backward();
      EXPECT_TRUE(fused.in.x.grad().isfinite().all().item<bool>()) << type;
    }
  });
}

void expect_the_same_bits(AttentionCase c) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto run = [&](int threads, bool measured) {
      set_threads(threads);
      const Arranged s = make(c, type);
      std::vector<kernels::AttentionStats> stats;
      const at::Tensor y = attention(s.in, s.options, measured ? &stats : nullptr);
      y.to(at::kFloat).square().sum().backward();
      set_threads(1);
      std::vector<at::Tensor> all{y};
      for (const at::Tensor& t : leaves(s)) all.push_back(t.grad());
      return all;
    };
    const auto base = run(1, false);
    for (const auto& other : {run(1, true), run(2, false), run(3, true)})
      for (std::size_t i = 0; i < base.size(); ++i) EXPECT_TRUE(base[i].equal(other[i])) << i;
  }
}

TEST(Attention, BitsDoNotDependOnThreadsOrStatistics) {
  AttentionCase c{3, 2, 70, 16, true, 0, Norm::kWhole, true};
  expect_the_same_bits(c);
  c.sink = true;
  expect_the_same_bits(c);
  c.sink = false;
  c.squared_relu = true;
  expect_the_same_bits(c);
}

TEST(Attention, NonFiniteInGivesNonFiniteOut) {
  test::with_each_instruction_set([] {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const double bad :
           {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
        for (const std::int64_t column : {3, 19, 35, 103, 119, 203, 219}) {
          // A query, a key, a value; from 100 with a sink, from 200 with squared ReLU.
          AttentionCase c{1, 1, 40, 16};
          c.sink = column / 100 == 1;
          c.squared_relu = column / 100 == 2;
          Arranged s = make(c, type);
          at::Tensor x = s.in.x.detach().clone();
          x[20][column % 100] = bad;
          s.in.x = x;
          std::vector<kernels::AttentionStats> stats;
          const at::Tensor y = attention(s.in, s.options, &stats);
          SCOPED_TRACE(testing::Message() << type << " " << bad << " column " << column);
          // An infinite key may be as far below as above: some of those who see it turn non-finite.
          EXPECT_FALSE(y.narrow(0, 20, 20).isfinite().all().item<bool>());
          // A weight of zero times a value that is not finite is NaN, here as in the plain form.
          if (column % 100 >= 32) continue;
          EXPECT_TRUE(y.narrow(0, 0, 20).isfinite().all().item<bool>());
          EXPECT_FALSE(std::isfinite(stats[0].logit_rms));
          EXPECT_FALSE(std::isfinite(stats[0].entropy));
        }
  });
}

}  // namespace
}  // namespace evenkeel::ops
