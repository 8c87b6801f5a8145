// The row-wise kernels without LibTorch, at widths around the vector width and in buffers of the exact size,
// so that sanitizers see every edge; the values are checked against loops in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/add_norm.h"
#include "evenkeel/kernels/cross_entropy.h"
#include "evenkeel/kernels/dropout.h"
#include "evenkeel/kernels/embedding.h"
#include "tests/support/instruction_sets.h"

namespace evenkeel::kernels {
namespace {

constexpr std::int64_t kWidths[] = {1, 2, 5, 15, 16, 17, 31, 33, 64, 130};

std::vector<float> normals(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed, "test/rows");
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}
template <class T>
std::vector<T> stored(const std::vector<float>& x) {
  std::vector<T> out;
  for (const float v : x) out.push_back(from_float<T>(v));
  return out;
}
double wide(float x) {
  return static_cast<double>(x);
}

template <class T>
void expect_add_norm_is_right(std::int64_t rows, std::int64_t width) {
  const std::int64_t n = rows * width;
  const auto size = static_cast<std::size_t>(n), columns = static_cast<std::size_t>(width),
             height = static_cast<std::size_t>(rows);
  const std::vector<float> x = normals(n, 1), gain = normals(width, 3), bias = normals(width, 4),
                           f_bias = normals(width, 5), omega = normals(width, 6), d_sum = normals(n, 7);
  const std::vector<T> f = stored<T>(normals(n, 2)), dy = stored<T>(normals(n, 8));
  std::vector<float> sum(size), mean(height), inverse(height);
  std::vector<T> y(size);
  AddNormForward<T, T> a;
  a.rows = rows;
  a.width = width;
  a.x = x.data();
  a.omega = omega.data();
  a.omega_per_channel = true;
  a.norm = NormKind::kLayerNorm;
  a.gain = gain.data();
  a.f = f.data();
  a.f_bias = f_bias.data();
  a.eps = 1e-2f;
  a.norm_bias = bias.data();
  a.sum = sum.data();
  a.y = y.data();
  a.mean = mean.data();
  a.inverse = inverse.data();
  const double squares = add_norm_forward(a);
  double expected_squares = 0;
  for (std::size_t r = 0; r < height; ++r) {
    double m = 0, var = 0;
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i) {
      const std::size_t c = i % columns;
      ASSERT_NEAR(wide(sum[i]), wide(omega[c]) * wide(x[i]) + wide(to_float(f[i])) + wide(f_bias[c]), 2e-6);
      expected_squares += wide(sum[i]) * wide(sum[i]);
      m += wide(sum[i]) / static_cast<double>(width);
    }
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i)
      var += (wide(sum[i]) - m) * (wide(sum[i]) - m) / static_cast<double>(width);
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i) {
      const std::size_t c = i % columns;
      const double expected = (wide(sum[i]) - m) / std::sqrt(var + 1e-2) * wide(gain[c]) + wide(bias[c]);
      // fp32, or 8 bits of a value up to 10.
      ASSERT_NEAR(wide(to_float(y[i])), expected, sizeof(T) == 4 ? 2e-5 : 4e-2);
    }
  }
  EXPECT_NEAR(squares, expected_squares, 1e-6 * expected_squares);

  // The backward pass is compared in tests/unit/ops; here it stays within its buffers.
  AddNormBackward<T, T> b;
  static_cast<AddNormCommon&>(b) = a;
  std::vector<float> dx(size), d_f_bias(columns), d_omega(columns), d_gain(columns), d_bias(columns);
  std::vector<T> df(size);
  b.sum = sum.data();
  b.mean = mean.data();
  b.inverse = inverse.data();
  b.d_sum = d_sum.data();
  b.dy = dy.data();
  b.dx = dx.data();
  b.df = df.data();
  b.d_f_bias = d_f_bias.data();
  b.d_omega = d_omega.data();
  b.d_gain = d_gain.data();
  b.d_norm_bias = d_bias.data();
  add_norm_backward(b);
  for (std::size_t c = 0; c < columns; ++c) {
    double expected = 0;
    for (std::size_t r = 0; r < height; ++r) expected += wide(to_float(dy[r * columns + c]));
    EXPECT_NEAR(wide(d_bias[c]), expected, 1e-5);
  }
}

TEST(AddNormKernel, StaysInItsBuffers) {
  test::with_each_instruction_set([] {
    for (const std::int64_t rows : {1, 9})
      for (const std::int64_t width : kWidths) {
        expect_add_norm_is_right<float>(rows, width);
        expect_add_norm_is_right<bf16>(rows, width);
      }
  });
}

template <class T>
void expect_cross_entropy_is_right(std::int64_t rows, std::int64_t vocab) {
  const auto height = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(vocab);
  std::vector<T> y = stored<T>(normals(rows * vocab, 1));
  const std::vector<T> before = y;
  std::vector<std::int64_t> targets(height);
  for (std::size_t r = 0; r < height; ++r)
    targets[r] = r % 4 == 3 ? -1 : static_cast<std::int64_t>(r * 7 % columns);
  const std::vector<std::uint8_t> occurring(columns, 1);
  const CrossEntropySums sums = cross_entropy(
      CrossEntropy<T>{rows, vocab, y.data(), targets.data(), 1e-2, 0.1, occurring.data(), true});
  double log_z_sum = 0, logits = 0;
  std::int64_t counted = 0;
  for (std::size_t r = 0; r < height; ++r) {
    if (targets[r] < 0) continue;
    double z = 0;
    for (std::size_t j = 0; j < columns; ++j) {
      z += std::exp(wide(to_float(before[r * columns + j])));
      logits += wide(to_float(before[r * columns + j]));
    }
    log_z_sum += std::log(z);
    ++counted;
  }
  EXPECT_EQ(sums.rows, counted);
  EXPECT_NEAR(sums.log_z, log_z_sum, 1e-5);
  EXPECT_NEAR(sums.occurring_logits, logits, 1e-4);
  for (std::size_t r = 0; r < height; ++r) {
    double total = 0;
    for (std::size_t j = 0; j < columns; ++j) total += wide(to_float(y[r * columns + j]));
    // Without z-loss a row's gradient sums to 0; with it to 2 c log Z / N, below 0.02 * 7.
    EXPECT_LT(std::abs(total), targets[r] < 0 ? 1e-30 : 0.2);
  }
}

TEST(CrossEntropyKernel, StaysInItsBuffers) {
  test::with_each_instruction_set([] {
    for (const std::int64_t rows : {1, 9})
      for (const std::int64_t vocab : kWidths) {
        expect_cross_entropy_is_right<float>(rows, vocab);
        expect_cross_entropy_is_right<bf16>(rows, vocab);
      }
  });
}

TEST(EmbeddingKernel, StaysInItsBuffers) {
  test::with_each_instruction_set([] {
    for (const std::int64_t width : kWidths) {
      const EmbeddingShape shape{7, 18, width};
      const std::vector<std::int64_t> ids = {17, 0, 17, 3, 17, 0, 16};
      const std::vector<float> weight = normals(18 * width, 1), d_out = normals(7 * width, 2);
      std::vector<float> out(static_cast<std::size_t>(7 * width)),
          d_weight(static_cast<std::size_t>(18 * width), 99);
      embedding_forward(weight.data(), ids.data(), shape, 2, out.data());
      embedding_backward(d_out.data(), ids.data(), shape, 2, d_weight.data());
      const auto last = static_cast<std::size_t>(width - 1), w = static_cast<std::size_t>(width);
      EXPECT_EQ(out[3 * w + last], 2 * weight[3 * w + last]);
      EXPECT_EQ(d_weight[w + last], 0);
      EXPECT_NEAR(wide(d_weight[17 * w + last]),
                  2 * (wide(d_out[last]) + wide(d_out[2 * w + last]) + wide(d_out[4 * w + last])), 1e-5);
    }
  });
}

TEST(DropoutKernel, AnyRangeIsAPartOfTheWholeOnEveryInstructionSet) {
  // The words above 32 bits of seed, stream and index take part.
  const Dropout dropout{0.3, 0x123456789abcdef0u, 0xfedcba9876543210u, (std::int64_t{1} << 28) - 1};
  const std::int64_t offset = (std::int64_t{1} << 38) - 200;
  std::vector<float> whole, part(150);
  for (std::int64_t i = 0; i < 150; ++i) {
    const auto index = static_cast<std::uint64_t>(offset + i);
    const auto words =
        philox(dropout.seed, dropout.stream, (static_cast<std::uint64_t>(dropout.step) << 36) + index / 4);
    whole.push_back(words[index % 4] < 0.3 * 4294967296.0 ? 0 : static_cast<float>(1 / 0.7));
  }
  EXPECT_GT(std::count(whole.begin(), whole.end(), 0.0f), 20);
  test::with_each_instruction_set([&] {
    for (std::int64_t first = 0; first < 9; ++first)
      for (const std::int64_t n : {0, 1, 3, 8, 33, 64, 141}) {
        dropout_multipliers(dropout, offset + first, n, part.data());
        EXPECT_TRUE(std::equal(part.begin(), part.begin() + n, whole.begin() + first)) << first << " " << n;
      }
  });
}

}  // namespace
}  // namespace evenkeel::kernels
