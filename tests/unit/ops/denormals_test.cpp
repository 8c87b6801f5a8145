// Denormals are flushed on every thread of the trainer (kernels/denormals.h; these tests are started as it
// is, by cli/evenkeel_train/flush_denormals.cpp), and what lies below stays in order.
#include "evenkeel/kernels/denormals.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <future>
#include <thread>
#include <vector>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/ops/adamw.h"
#include "evenkeel/ops/attention.h"
#include "evenkeel/ops/sigma_reparam.h"
#include "evenkeel/ops/threads.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

using kernels::flush_denormals;
using kernels::flushes_denormals;

constexpr int kThreads = 3;

/// Waits until all kThreads are here, so that each of them has run.
void meet(std::atomic<int>& here) {
  for (++here; here < kThreads;) std::this_thread::yield();
}

TEST(Denormals, AreFlushedOnEveryKindOfThread) {
#if !defined(__SSE__) && !defined(__aarch64__)
  GTEST_SKIP() << "this processor has no such setting";
#endif
  EXPECT_TRUE(flushes_denormals()) << "the main thread";
  EXPECT_TRUE(std::async(std::launch::async, flushes_denormals).get()) << "a thread";
  set_threads(kThreads);
  {
    std::atomic<int> here{0}, flushed{0};
    kernels::parallel_for(kThreads, [&](std::int64_t) {
      meet(here);
      if (flushes_denormals()) ++flushed;
    });
    EXPECT_EQ(flushed, kThreads) << "the kernels' threads";
  }
  {
    std::atomic<int> flushed{0};
    int count = 0;
#pragma omp parallel num_threads(kThreads)
    {
      if (flushes_denormals()) ++flushed;
#pragma omp single
      count = omp_get_num_threads();
    }
    EXPECT_EQ(flushed, count) << "OpenMP's threads";
  }
  {
    std::atomic<int> flushed{0}, chunks{0};
    at::parallel_for(0, kThreads, 1, [&](std::int64_t begin, std::int64_t end) {
      chunks += static_cast<int>(end - begin);
      if (flushes_denormals()) flushed += static_cast<int>(end - begin);
    });
    EXPECT_EQ(flushed, chunks) << "LibTorch's threads";
  }
  {
    bool in_backward = false;
    const at::Tensor x = at::full({4}, 2.0f).requires_grad_(true), y = x * x;
    y.register_hook([&](const at::Tensor&) { in_backward = flushes_denormals(); });
    y.sum().backward();
    EXPECT_TRUE(in_backward) << "where gradients are computed";
  }
  // OpenBLAS starts its threads when it is loaded, before any code of ours but the first.
  const at::Tensor a = at::full({512, 512}, 1e-40f), b = at::full({512, 512}, 1e10f);
  EXPECT_EQ(at::mm(a, b).count_nonzero().item<std::int64_t>(), 0) << "the BLAS library's threads";
  set_threads(1);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(flushes_denormals() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "a fork";
}

TEST(Denormals, TheSettingIsAThreadsOwn) {
#if !defined(__SSE__) && !defined(__aarch64__)
  GTEST_SKIP() << "this processor has no such setting";
#endif
  std::thread([] {
    flush_denormals(false);
    EXPECT_FALSE(flushes_denormals());
    flush_denormals(true);
    EXPECT_TRUE(flushes_denormals());
    flush_denormals(false);
  }).join();
  EXPECT_TRUE(flushes_denormals());
}

TEST(Denormals, SoftmaxWeightsBelowAreNoneAndEntropyIsRight) {
  // Logits 0, 30, 60, ... above each other: weights e^0, e^-30, e^-60, e^-90 (a denormal), e^-120 (none).
  constexpr std::int64_t kTime = 5, kWidth = 16;
  at::Tensor qkv = at::zeros({kTime, 3 * kWidth}, at::kFloat);
  for (std::int64_t t = 0; t < kTime; ++t) {
    qkv[t][0] = 1;                                    // every query
    qkv[t][kWidth] = -30.0f * static_cast<float>(t);  // key t
    qkv[t][2 * kWidth + t] = 1;                       // value t: the output is the weights
  }
  AttentionInputs in;
  in.x = qkv.requires_grad_(true);
  AttentionOptions options;
  options.causal = false;
  std::vector<kernels::AttentionStats> stats;
  const at::Tensor fused = attention(in, options, &stats), plain = attention_reference(in, options);
  double entropy = 0;
  for (int t = 1; t < kTime; ++t) entropy += 30 * t * std::exp(-30.0 * t);
  // Next to the largest weight, of which log is 0 to the last bit, an entropy of 3e-12 is a sum of roundings.
  EXPECT_NEAR(stats[0].entropy, entropy, 1e-6);
  EXPECT_TRUE(std::isfinite(stats[0].entropy_norm));
  for (const at::Tensor& y : {fused, plain}) {
    for (int t = 0; t < kTime; ++t) {
      const double weight = y[0][t].item<double>(), exact = std::exp(-30.0 * t);
      if (exact < 1.17549435e-38) EXPECT_EQ(weight, 0) << t;
      else EXPECT_NEAR(weight / exact, 1, 1e-5) << t;
    }
    y.square().sum().backward();
    EXPECT_TRUE(in.x.grad().isfinite().all().item<bool>());
  }
}

TEST(Denormals, AdamWithSquaresOfGradientsBelow) {
  for (const double eps : {1e-8, 0.0}) {
    const at::Tensor p = at::zeros({20}, at::kFloat), m = at::zeros_like(p), v = at::zeros_like(p);
    const double gradient = 1e-20;  // its square is 1e-40
    const AdamWStep step{.lr = 1,
                         .decay = 0,
                         .beta1 = 0.9,
                         .beta2 = 0.95,
                         .eps = eps,
                         .correction1 = 0.1,
                         .correction2 = 0.05};
    adamw_({{p, at::full({20}, static_cast<float>(gradient)), m, v}}, step, nullptr);
    EXPECT_EQ(v.count_nonzero().item<std::int64_t>(), 0);
    // g / (0 + eps), which is g / (|g| + eps) to 1e-12; without eps as if v were the smallest normal number,
    // whose root is 2^-63.
    const double expected = -gradient / (eps > 0 ? eps : std::ldexp(1.0, -63) / std::sqrt(0.05));
    for (int i = 0; i < 20; ++i) EXPECT_NEAR(p[i].item<double>(), expected, 1e-6 * std::abs(expected));
  }
}

TEST(Denormals, SigmaOfTinyWeights) {
  const at::Tensor w = test::random_normal({40, 30}, 1, at::kFloat);
  const auto sigma = [&](double factor) {
    const std::vector<at::Tensor> scaled{w * factor};
    return power_iterate(scaled, top_singular_vectors(scaled, 1), 1e-6, 20);
  };
  const double one = sigma(1).sigma.item<double>();
  // The iteration multiplies by W^T W, whose numbers are about 1e-29 here.
  EXPECT_NEAR(sigma(1e-15).sigma.item<double>() / (1e-15 * one), 1, 1e-5);
  // And 1e-39 or denormals to begin with here: as for a zero matrix, sigma is 0 and all that follows is
  // finite.
  for (const double factor : {1e-20, 1e-42}) {
    const SpectralState state = sigma(factor);
    EXPECT_EQ(state.sigma.item<double>(), 0);
    const at::Tensor gamma = at::full({1}, 1.0f);
    const at::Tensor out = sigma_reparam({w * factor}, gamma, state).front();
    EXPECT_TRUE(out.isfinite().all().item<bool>());
    for (const at::Tensor& vector : {state.u, state.v, state.residual})
      EXPECT_TRUE(vector.isfinite().all().item<bool>());
  }
}

TEST(Denormals, DoubleKeepsWhatIsUsed) {
  // Squares of the smallest normal fp32 number.
  volatile double x = 1.17549435e-38;
  EXPECT_GT(x * x, 1e-76);
}

}  // namespace
}  // namespace evenkeel::ops
