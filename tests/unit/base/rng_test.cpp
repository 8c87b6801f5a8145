#include "evenkeel/base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "evenkeel/base/moments.h"

namespace evenkeel {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, AnswersOfTheAuthorsImplementation) {
  // kat_vectors of Random123, philox4x32 with 10 rounds; counter = (index, stream), key = seed, low words
  // first.
  EXPECT_EQ(philox(0, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, ReadsTheBlocksInOrder) {
  Rng rng(3, 5);
  for (std::uint64_t index = 0; index < 3; ++index) {
    for (const std::uint32_t word : philox(3, 5, index)) EXPECT_EQ(rng(), word);
  }
}

TEST(Rng, StreamsDifferByNameAndSeed) {
  EXPECT_NE(stream_id("init/a"), stream_id("init/b"));
  EXPECT_NE(Rng(1, "a")(), Rng(1, "b")());
  EXPECT_NE(Rng(1, "a")(), Rng(2, "a")());
  EXPECT_EQ(stream_id(""), 14695981039346656037ull);  // FNV-1a offset basis
  EXPECT_EQ(stream_id("a"), 0xaf63dc4c8601ec8cull);   // FNV-1a of "a"
}

TEST(Rng, NormalMoments) {
  Rng rng(1, "rng_test/normal");
  Moments m;
  for (int i = 0; i < 200000; ++i) m.add(rng.normal());
  // Standard errors at n = 2e5: 0.0022 of the mean, 0.0016 of the deviation; five of each.
  EXPECT_NEAR(m.mean, 0, 0.012);
  EXPECT_NEAR(m.rms(), 1, 0.008);
}

TEST(Rng, TruncatedNormalStaysInsideAndHasItsDeviation) {
  Rng rng(1, "rng_test/truncated");
  Moments m;
  for (int i = 0; i < 200000; ++i) m.add(rng.truncated_normal(2));
  EXPECT_LE(m.abs_max, 2.0);
  EXPECT_NEAR(m.rms(), 0.8796257, 0.007);  // deviation of the +-2 truncated normal; five standard errors
}

TEST(Rng, UniformIsOpenAndBelowCoversItsRange) {
  Rng rng(1, "rng_test/uniform");
  Moments m;
  for (int i = 0; i < 100000; ++i) {
    const double u = rng.uniform();
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    m.add(u);
  }
  EXPECT_NEAR(m.mean, 0.5, 0.005);  // five standard errors
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 470);  // five standard deviations
  for (int i = 0; i < 10; ++i) EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, UniformIsOpenAtBothEnds) {
  EXPECT_EQ(uniform(0, 0), std::ldexp(0.5, -53));
  EXPECT_EQ(uniform(~0u, ~0u), std::nextafter(1.0, 0.0));
  // All others are the nearest double to the middle of their interval.
  EXPECT_EQ(uniform(~0u, ~0u - 64), (9007199254740990.0 + 0.5) / 9007199254740992.0);
  EXPECT_EQ(uniform(1u << 31, 0), 0.5 + std::ldexp(0.5, -53));
}

}  // namespace
}  // namespace evenkeel
