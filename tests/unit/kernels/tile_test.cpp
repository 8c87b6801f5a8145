#include "evenkeel/kernels/tile.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/kernels/attention.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/matmul.h"
#include "evenkeel/kernels/tile_amx.h"
#include "tests/support/instruction_sets.h"

namespace evenkeel::kernels {
namespace {

/// AMX tile registers in plain C++: eight of 16 rows of 64 bytes, TDPBF16PS as Intel's manual has it. As in a
/// processor, each thread has its own, and an instruction on registers that were not configured is illegal.
struct Emulated {
  using Register = std::array<std::array<std::uint8_t, 64>, 16>;
  static std::array<Register, 8>& registers() {
    static thread_local std::array<Register, 8> all{};
    if (!configured()) throw std::logic_error("illegal instruction: the tile registers are not configured");
    return all;
  }
  static bool& configured() {
    static thread_local bool is = false;
    return is;
  }
  static void begin() { configured() = true; }
  static void end() { configured() = false; }
  template <class V>
  static V at(int n, std::size_t row, std::size_t column) {
    V value;
    std::memcpy(&value, registers()[static_cast<std::size_t>(n)][row].data() + column * sizeof(V), sizeof(V));
    return value;
  }
  template <int N>
  static void zero() {
    registers()[N] = {};
  }
  template <int N>
  static void load(const void* from, std::ptrdiff_t stride) {
    for (std::size_t r = 0; r < 16; ++r)
      std::memcpy(registers()[N][r].data(),
                  static_cast<const char*>(from) + static_cast<std::ptrdiff_t>(r) * stride, 64);
  }
  template <int N>
  static void store(void* to, std::ptrdiff_t stride) {
    for (std::size_t r = 0; r < 16; ++r)
      std::memcpy(static_cast<char*>(to) + static_cast<std::ptrdiff_t>(r) * stride, registers()[N][r].data(),
                  64);
  }
  template <int C, int A, int B>
  static void dot() {
    for (std::size_t m = 0; m < 16; ++m)
      for (std::size_t n = 0; n < 16; ++n) {
        float sum = at<float>(C, m, n);
        for (std::size_t k = 0; k < 16; ++k)
          for (std::size_t u = 0; u < 2; ++u)
            sum += to_float(at<bf16>(A, m, 2 * k + u)) * to_float(at<bf16>(B, k, 2 * n + u));
        std::memcpy(registers()[C][m].data() + n * 4, &sum, 4);
      }
  }
};

const Tile<bf16>& emulated_amx() {
  static const Tile<bf16> tile{"amx (emulated)", 32,           false, amx_multiply<Emulated>,
                               Emulated::begin,  Emulated::end};
  return tile;
}

template <class T>
std::vector<T> draw(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed, "test/tile");
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = from_float<T>(static_cast<float>(rng.normal()));
  return x;
}

/// Every shape that a tile is asked for, against sums in double; both ways A may lie in memory.
template <class T>
void check(const Tile<T>& tile) {
  SCOPED_TRACE(tile.name);
  const TileScope<T> scope(tile);
  for (const std::int64_t k : {tile.k_step, 4 * tile.k_step, std::int64_t{192}})
    for (const std::int64_t rows : {16, 32})
      for (const std::int64_t columns : {16, 32})
        for (const bool transposed : {false, true})
          for (const bool accumulate : {false, true}) {
            if (transposed && !tile.transposed_is_panel) continue;
            const std::int64_t w = kWord<T>, stride = k + 2 * w, c_row = columns + 5;
            const auto a = draw<T>(32 * stride, 1), b = draw<T>(k * columns, 2);
            auto c = draw<float>(32 * c_row, 3);
            const auto before = c;
            const OperandA<T> operand{a.data(), transposed ? w : stride, transposed ? 32 * w : w};
            scope.multiply(operand, b.data(), k, rows, columns, c.data(), c_row, accumulate);
            for (std::int64_t r = 0; r < 32; ++r)
              for (std::int64_t j = 0; j < c_row; ++j) {
                const auto at = static_cast<std::size_t>(r * c_row + j);
                if (r >= rows || j >= columns) {
                  ASSERT_EQ(c[at], before[at]) << "outside the tile";
                  continue;
                }
                double sum = accumulate ? static_cast<double>(before[at]) : 0;
                for (std::int64_t i = 0; i < k; ++i)
                  sum += static_cast<double>(
                             to_float(operand.data[r * operand.row + i / w * operand.word + i % w])) *
                         static_cast<double>(
                             to_float(b[static_cast<std::size_t>((i / w * columns + j) * w + i % w)]));
                // fp32 sums of k products of unit size.
                ASSERT_NEAR(static_cast<double>(c[at]), sum, 1e-6 * static_cast<double>(k + 8))
                    << r << "," << j;
              }
          }
}

TEST(Tile, EveryImplementationMultiplies) {
  test::with_each_instruction_set([] {
    check(tile<float>());
    check(tile<bf16>());
  });
  check(emulated_amx());
}

TEST(Tile, OnlyAScopeMultiplies) {
  // There is no way around TileScope to what configures the registers and what uses them.
  const auto multiplies = [](const auto& with) {
    return requires {
      with.multiply(OperandA<bf16>{}, nullptr, 0, 0, 0, nullptr, 0, false);
    };
  };
  EXPECT_FALSE(multiplies(emulated_amx()));
  const std::vector<bf16> a(32 * 32), b(32 * 32);
  std::vector<float> c(32 * 32);
  const auto multiply = [&] {
    amx_multiply<Emulated>({a.data(), 32, 2}, b.data(), 32, 32, 32, c.data(), 32, false);
  };
  EXPECT_THROW(multiply(), std::logic_error);
  {
    const TileScope<bf16> scope(emulated_amx());
    EXPECT_TRUE(multiplies(scope));
    EXPECT_NO_THROW(multiply());
  }
  EXPECT_THROW(multiply(), std::logic_error);
}

TEST(Isa, AnUnknownNameInTheEnvironmentIsRefused) {
  const char* before = std::getenv("EVENKEEL_ISA");
  const std::string kept = before != nullptr ? before : "";
  setenv("EVENKEEL_ISA", "avx3", 1);
  EXPECT_THROW(check_isa_setting(), InputError);
  setenv("EVENKEEL_ISA", "avx2", 1);
  EXPECT_NO_THROW(check_isa_setting());
  if (before != nullptr) setenv("EVENKEEL_ISA", kept.c_str(), 1);
  else unsetenv("EVENKEEL_ISA");
}

TEST(Tile, AmxFlushesNothingTheOthersKeep) {
  // NaN and infinity travel through pairs: 0 * inf is NaN in the whole sum.
  auto a = draw<bf16>(32 * 32, 1), b = draw<bf16>(32 * 32, 2);
  a[3] = from_float<bf16>(INFINITY);
  for (const Tile<bf16>* tile : {&emulated_amx(), &tile_highway_bf16()}) {
    std::vector<float> c(32 * 32);
    TileScope<bf16>(*tile).multiply({a.data(), 32, 2}, b.data(), 32, 32, 32, c.data(), 32, false);
    for (std::size_t j = 0; j < 32; ++j) EXPECT_FALSE(std::isfinite(c[j]));
    for (std::size_t j = 32; j < 64; ++j) EXPECT_TRUE(std::isfinite(c[j]));
  }
}

/// The same inputs through AMX's layouts (emulated registers) and through the processor's own tile: every
/// path of the packing and of the kernels that AMX takes, on any machine.
TEST(Tile, KernelsGiveTheSameOnAmxLayouts) {
  const std::int64_t m = 70, k = 40, n = 75;
  const auto x = draw<bf16>(m * k, 1), dy = draw<bf16>(m * n, 2);
  const auto w = draw<float>(n * k, 3);
  WeightRows rows;
  for (std::int64_t i = 0; i < n; ++i) rows.push_back(w.data() + i * k);
  const auto linear = [&] {
    std::vector<bf16> y(static_cast<std::size_t>(m * n)), dx(static_cast<std::size_t>(m * k));
    std::vector<float> dw(static_cast<std::size_t>(n * k)), all;
    GradientRows gradient;
    for (std::int64_t i = 0; i < n; ++i) gradient.push_back(dw.data() + i * k);
    linear_forward(x.data(), m, k, rows, nullptr, y.data());
    linear_backward_input(dy.data(), m, k, rows, dx.data());
    linear_backward_weight(dy.data(), x.data(), m, k, gradient);
    for (const bf16 v : y) all.push_back(to_float(v));
    for (const bf16 v : dx) all.push_back(to_float(v));
    all.insert(all.end(), dw.begin(), dw.end());
    return all;
  };
  const std::int64_t batch = 2, heads = 2, time = 77, width = 24, row = 3 * heads * width;
  const auto qkv = draw<bf16>(batch * time * row, 4), d_out = draw<bf16>(batch * time * heads * width, 5);
  const float sinks[heads] = {0.5f, -1};
  const auto attention = [&](bool sink, WeightRule rule) {
    AttentionProblem p;
    p.batch = batch;
    p.heads = heads;
    p.queries = p.keys = time;
    p.width = width;
    p.causal = true;
    p.score.scale = 0.2;
    p.score.kind = rule;
    if (sink) p.sinks = sinks;
    std::vector<bf16> out(d_out.size()), gradient(qkv.size());
    std::vector<float> softmax(static_cast<std::size_t>(2 * batch * heads * time)), wide(out.size()), all;
    float d_sinks[heads] = {};
    const auto in = [&](std::int64_t i) {
      return Heads<const bf16>{qkv.data() + i * heads * width, time * row, row};
    };
    const auto to = [&](std::int64_t i) {
      return Heads<bf16>{gradient.data() + i * heads * width, time * row, row};
    };
    attention_forward<bf16>(p, in(0), in(1), in(2), out.data(), wide.data(), softmax.data(), nullptr);
    attention_backward<bf16>(p, in(0), in(1), in(2), wide.data(), softmax.data(), d_out.data(), to(0), to(1),
                             to(2), nullptr, nullptr, sink ? d_sinks : nullptr);
    for (const bf16 v : out) all.push_back(to_float(v));
    for (const bf16 v : gradient) all.push_back(to_float(v));
    all.insert(all.end(), d_sinks, d_sinks + heads);
    return all;
  };
  const auto run = [&] {
    return std::vector{linear(), attention(false, WeightRule::kSoftmax),
                       attention(true, WeightRule::kSoftmax), attention(false, WeightRule::kSquaredRelu)};
  };
  const auto here = run();
  replace_tile_for_test(&emulated_amx());
  const auto amx = run();
  replace_tile_for_test(nullptr);
  const auto compare = [](const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    double squares = 0;
    for (const float v : a) squares += static_cast<double>(v * v);
    const double size = std::sqrt(squares / static_cast<double>(a.size()));
    // fp32 sums in another order may round to the neighbouring bf16.
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 0.01 * (size + std::abs(static_cast<double>(a[i])))) << i;
  };
  for (std::size_t i = 0; i < here.size(); ++i) compare(here[i], amx[i]);
}

}  // namespace
}  // namespace evenkeel::kernels
