#include "evenkeel/data/permutation.h"

#include <bit>
#include <cassert>

#include "evenkeel/base/rng.h"

namespace evenkeel::data {

Permutation::Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t stream)
    : n_(n),
      seed_(seed),
      stream_(stream),
      half_bits_(n > 1 ? (static_cast<int>(std::bit_width(n - 1)) + 1) / 2 : 1) {
  assert(n >= 1);
}

std::uint64_t Permutation::pass(std::uint64_t x) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = x >> half_bits_, right = x & mask;
  for (std::uint64_t round = 0; round < 6; ++round) {
    const auto words = philox(seed_, stream_, round << 60 | right);
    const std::uint64_t next = left ^ (words[0] & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  assert(index < n_);
  std::uint64_t x = index;
  do {
    x = pass(x);
  } while (x >= n_);
  return x;
}

}  // namespace evenkeel::data
