#include "evenkeel/kernels/dropout.h"

#include <algorithm>
#include <cmath>

#include "evenkeel/base/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/dropout.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

#ifndef EVENKEEL_KERNELS_DROPOUT_INDEX
#define EVENKEEL_KERNELS_DROPOUT_INDEX
namespace evenkeel::kernels {
namespace {

constexpr int kIndexBits = 36;  // blocks of four values per step
constexpr std::uint64_t kBlock = 4;

std::uint64_t first_block(const Dropout& dropout) {
  return static_cast<std::uint64_t>(dropout.step) << kIndexBits;
}
/// Words below this are dropped: an integer is below p 2^32 exactly if it is below its ceiling.
std::uint32_t drop_limit(const Dropout& dropout) {
  return static_cast<std::uint32_t>(std::min(std::ceil(dropout.p * 4294967296.0), 4294967295.0));
}
float kept_value(const Dropout& dropout) {
  return static_cast<float>(1 / (1 - dropout.p));
}

}  // namespace
}  // namespace evenkeel::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Writes as many whole vectors of blocks as fit into n values from block `index` on; returns the number of
/// values written.
std::int64_t whole_blocks(const Dropout& dropout, std::uint64_t index, std::int64_t n, float* out) {
#if HWY_TARGET == HWY_SCALAR
  (void)dropout, (void)index, (void)n, (void)out;
  return 0;
#else
  // Philox (base/rng.h) on 64-bit lanes, one block each; only the low halves count until the end.
  const hn::Repartition<std::uint64_t, F32> u64;
  using V64 = hn::Vec<decltype(u64)>;
  const auto product = [](V64 a, std::uint32_t factor)
                           EVENKEEL_INLINE { return hn::MulEven(hn::BitCast(u32, a), hn::Set(u32, factor)); };
  constexpr std::int64_t kBlocks = static_cast<std::int64_t>(HWY_LANES(std::uint64_t));
  constexpr std::int64_t kValues = 4 * kBlocks;
  const VF kept = set(kept_value(dropout));
  const auto limit = hn::Set(u32, drop_limit(dropout));
  const V64 low_half = hn::Set(u64, 0xffffffffu);
  std::int64_t done = 0;
  for (; done + kValues <= n; done += kValues, index += static_cast<std::uint64_t>(kBlocks)) {
    V64 c0 = hn::Iota(u64, index), c1 = hn::ShiftRight<32>(c0);
    V64 c2 = hn::Set(u64, dropout.stream), c3 = hn::ShiftRight<32>(c2);
    std::uint32_t k0 = static_cast<std::uint32_t>(dropout.seed),
                  k1 = static_cast<std::uint32_t>(dropout.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const V64 p0 = product(c0, 0xD2511F53u), p1 = product(c2, 0xCD9E8D57u);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(u64, k0));
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(u64, k1));
      c1 = p1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    alignas(64) std::uint64_t words[2 * kBlocks];
    hn::StoreInterleaved2(hn::Or(hn::And(c0, low_half), hn::ShiftLeft<32>(c1)),
                          hn::Or(hn::And(c2, low_half), hn::ShiftLeft<32>(c3)), u64, words);
    for (std::int64_t i = 0; i < kValues; i += lanes()) {
      const auto word = hn::Load(u32, reinterpret_cast<const std::uint32_t*>(words) + i);
      store(hn::IfThenZeroElse(hn::RebindMask(f32, hn::Lt(word, limit)), kept), out + done + i);
    }
  }
  return done;
#endif
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(whole_blocks);

}  // namespace

void dropout_multipliers(const Dropout& dropout, std::int64_t first, std::int64_t n, float* out) {
  const std::uint32_t limit = drop_limit(dropout);
  const float kept = kept_value(dropout);
  for (std::int64_t i = 0; i < n;) {
    const std::uint64_t index = static_cast<std::uint64_t>(first + i),
                        block = first_block(dropout) + index / kBlock;
    if (index % kBlock == 0) {
      const std::int64_t done = HWY_DYNAMIC_DISPATCH(whole_blocks)(dropout, block, n - i, out + i);
      i += done;
      if (done > 0) continue;
    }
    const auto words = philox(dropout.seed, dropout.stream, block);
    for (std::uint64_t j = index % kBlock; j < kBlock && i < n; ++j, ++i)
      out[i] = words[static_cast<std::size_t>(j)] < limit ? 0.0f : kept;
  }
}

}  // namespace evenkeel::kernels
#endif
