#include "evenkeel/data/pairs/pair_batches.h"

#include <algorithm>
#include <cassert>
#include <string>

#include "evenkeel/base/rng.h"
#include "evenkeel/data/permutation.h"

namespace evenkeel::data {

PairBatches::PairBatches(const std::vector<PairLength>& lengths, std::vector<std::int64_t> use,
                         std::int64_t batch_tokens)
    : order_(std::move(use)) {
  const auto length = [&](std::int64_t pair) { return lengths[static_cast<std::size_t>(pair)]; };
  std::stable_sort(order_.begin(), order_.end(),
                   [&](std::int64_t a, std::int64_t b) { return length(a) < length(b); });
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < std::ssize(order_); ++i) {
    const PairLength now = length(order_[static_cast<std::size_t>(i)]);
    if (i == 0 || now != length(order_[static_cast<std::size_t>(i) - 1])) groups_.push_back(i);
    const std::int64_t tokens = std::max(now.source, now.target);
    assert(tokens <= batch_tokens);
    longest = std::max(longest, tokens);
    if (i == 0 || (i + 1 - cuts_.back()) * longest > batch_tokens) {
      cuts_.push_back(i);
      longest = tokens;
    }
  }
  groups_.push_back(std::ssize(order_));
  cuts_.push_back(std::ssize(order_));
}

std::vector<std::int64_t> PairBatches::in_order(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  return {order_.begin() + cuts_[at], order_.begin() + cuts_[at + 1]};
}

std::vector<std::int64_t> PairBatches::shuffled(std::int64_t step, std::uint64_t seed) const {
  const auto batches = static_cast<std::uint64_t>(size()), k = static_cast<std::uint64_t>(step);
  const std::string epoch = std::to_string(k / batches);
  const auto index = static_cast<std::size_t>(
      Permutation(batches, seed, stream_id("data/order/batches/" + epoch))(k % batches));
  std::vector<std::int64_t> pairs;
  std::int64_t at = cuts_[index];
  auto group = std::upper_bound(groups_.begin(), groups_.end(), at) - 1;
  while (at < cuts_[index + 1]) {
    const std::int64_t first = *group, end = *++group;
    const Permutation equals(static_cast<std::uint64_t>(end - first), seed,
                             stream_id("data/order/equals/" + epoch) + static_cast<std::uint64_t>(first));
    for (; at < std::min(end, cuts_[index + 1]); ++at) {
      const std::uint64_t image = equals(static_cast<std::uint64_t>(at - first));
      pairs.push_back(order_[static_cast<std::size_t>(first) + image]);
    }
  }
  return pairs;
}

}  // namespace evenkeel::data
