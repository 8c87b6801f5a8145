// A keyed bijection of {0, ..., n-1}: a balanced Feistel network over the next even number of bits with cycle
// walking (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"), Philox as the round function. Any
// position is found at once, so a shuffled epoch costs no memory and a run resumes from a step number alone.
#pragma once

#include <cstdint>

namespace evenkeel::data {

class Permutation {
 public:
  /// n >= 1. Equal (n, seed, stream) give the same permutation.
  Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t stream);
  /// The image of `index` < n; expected cost at most four passes of the network.
  std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t pass(std::uint64_t x) const;
  std::uint64_t n_, seed_, stream_;
  int half_bits_;
};

}  // namespace evenkeel::data
