// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
// 3").
//
// A value depends only on (seed, stream, index), never on what was drawn before, so data order,
// initialisation and dropout are the same after a resume, on every path and for any number of threads. There
// is no state to save.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace evenkeel {

/// The block of four random words for (seed, stream, index).
std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

/// A stream number from a name, e.g. stream_id("init/blocks.0.attn.q.weight").
std::uint64_t stream_id(std::string_view name);

/// In the open interval (0, 1), from the upper 27 bits of one word and the upper 26 of another.
double uniform(std::uint32_t high, std::uint32_t low);

/// Draws in sequence from one stream; satisfies UniformRandomBitGenerator.
class Rng {
 public:
  using result_type = std::uint32_t;
  Rng(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}
  Rng(std::uint64_t seed, std::string_view name) : Rng(seed, stream_id(name)) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return 0xffffffffu; }

  std::uint32_t operator()();
  /// Uniform in the open interval (0, 1), 53 bits.
  double uniform();
  /// Standard normal, by Box-Muller.
  double normal();
  /// Standard normal conditioned on |z| <= bound, by rejection.
  double truncated_normal(double bound);
  /// Uniform in {0, ..., n-1}, without modulo bias; n >= 1.
  std::uint64_t below(std::uint64_t n);

 private:
  std::uint64_t seed_, stream_, index_ = 0;
  std::array<std::uint32_t, 4> block_{};
  int left_ = 0;
};

}  // namespace evenkeel
