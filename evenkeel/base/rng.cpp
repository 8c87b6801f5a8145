#include "evenkeel/base/rng.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace evenkeel {

std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = static_cast<std::uint32_t>(stream >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

std::uint64_t stream_id(std::string_view name) {
  std::uint64_t h = 14695981039346656037ull;  // FNV-1a: short names, frozen on disk by what it seeds
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

std::uint32_t Rng::operator()() {
  if (left_ == 0) {
    block_ = philox(seed_, stream_, index_++);
    left_ = 4;
  }
  return block_[static_cast<std::size_t>(4 - left_--)];
}

double uniform(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} >> 5) * 67108864ull + (low >> 6);
  // The largest would round up to 1.
  return std::min((static_cast<double>(bits) + 0.5) / 9007199254740992.0, 0x1.fffffffffffffp-1);
}

double Rng::uniform() {
  const std::uint32_t high = (*this)(), low = (*this)();
  return evenkeel::uniform(high, low);
}

double Rng::normal() {
  const double u = uniform(), v = uniform();
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

double Rng::truncated_normal(double bound) {
  for (;;) {
    const double z = normal();
    if (std::abs(z) <= bound) return z;
  }
}

std::uint64_t Rng::below(std::uint64_t n) {
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % n;
  for (;;) {
    const std::uint64_t high = (*this)(), low = (*this)();
    const std::uint64_t x = high << 32 | low;
    if (x < limit) return x % n;
  }
}

}  // namespace evenkeel
