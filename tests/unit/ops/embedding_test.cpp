#include "evenkeel/ops/embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/ops/threads.h"
#include "tests/support/gradcheck.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/small_model.h"

namespace evenkeel::ops {
namespace {

/// Two thirds of the tokens share one id, so that long sums occur.
at::Tensor random_ids(std::int64_t n, std::int64_t vocab) {
  at::Tensor ids = at::empty({n}, at::kLong);
  Rng rng(1, "test/ids");
  for (std::int64_t i = 0; i < n; ++i)
    ids.data_ptr<std::int64_t>()[i] =
        i % 3 != 0 ? vocab / 2 : static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(vocab)));
  return ids;
}

at::Tensor gradient(const at::Tensor& table, const at::Tensor& ids, double scale,
                    const at::Tensor& upstream) {
  const at::Tensor leaf = table.clone().set_requires_grad(true);
  (embedding(leaf, ids, scale) * upstream).sum().backward();
  return leaf.grad();
}

TEST(Embedding, EqualsThePlainFormAtEveryShape) {
  test::with_each_instruction_set([] {
    for (const std::int64_t vocab : {1, 2, 17, 100})
      for (const std::int64_t n : {1, 50})
        for (const std::int64_t width : {1, 5, 16, 33, 300})
          for (const double scale : {1.0, 3.0}) {
            const at::Tensor table = test::random_normal({vocab, width}, 1, at::kFloat),
                             ids = random_ids(n, vocab),
                             upstream = test::random_normal({n, width}, 2, at::kFloat);
            EXPECT_TRUE(embedding(table, ids, scale).equal(embedding_plain(table, ids, scale)));
            const at::Tensor exact = gradient(table.to(at::kDouble), ids, scale, upstream.to(at::kDouble));
            // Up to 50 roundings of 6e-8 of a sum of order 30.
            EXPECT_LT((gradient(table, ids, scale, upstream) - exact).abs().max().item<double>(), 3e-5);
          }
  });
}

TEST(Embedding, GradientMatchesDifferences) {
  at::Tensor table = test::random_normal({4, 3}, 1);
  const at::Tensor upstream = test::random_normal({6, 3}, 2);
  EXPECT_LT(
      test::gradient_error([&] { return (embedding(table, random_ids(6, 4), 2) * upstream).sum(); }, {table}),
      1e-8);
}

TEST(Embedding, BitsDoNotDependOnTheNumberOfThreads) {
  const at::Tensor table = test::random_normal({70, 300}, 1, at::kFloat), ids = random_ids(999, 70),
                   upstream = test::random_normal({999, 300}, 2, at::kFloat);
  set_threads(1);
  const at::Tensor one = gradient(table, ids, 1.5, upstream);
  for (const int threads : {2, 3}) {
    set_threads(threads);
    EXPECT_TRUE(one.equal(gradient(table, ids, 1.5, upstream)));
  }
  set_threads(1);
}

TEST(Embedding, NonFiniteInNonFiniteOut) {
  at::Tensor table = test::random_normal({3, 5}, 1, at::kFloat);
  table[1][4] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor out = embedding(table, random_ids(6, 3));
  EXPECT_FALSE(out.isfinite().all().item<bool>());
  at::Tensor upstream = test::random_normal({6, 5}, 2, at::kFloat);
  upstream[5][0] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(gradient(table, random_ids(6, 3), 1, upstream).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace evenkeel::ops
