// Batches of sentence pairs of like length, addressed by number: what a batch holds depends on the lengths,
// the seed and the epoch only, so a run resumes from a step number alone.
//
// As in fairseq, pairs are sorted by source length, then target length, equal ones in random order; the row
// is cut where another pair would make rows times the longest sentence, padding included, exceed
// `batch_tokens`; the batches come in random order. Order among equals is a permutation keyed by (seed,
// epoch), so the cuts are the same in every epoch. Memory: 8 bytes per pair.
#pragma once

#include <cstdint>
#include <vector>

namespace evenkeel::data {

/// Tokens of either side, the end of the sentence included.
struct PairLength {
  std::int64_t source = 0, target = 0;
  auto operator<=>(const PairLength&) const = default;
};

class PairBatches {
 public:
  /// Pairs of `lengths` whose number is in `use`; none may be longer than `batch_tokens`.
  PairBatches(const std::vector<PairLength>& lengths, std::vector<std::int64_t> use,
              std::int64_t batch_tokens);

  std::int64_t size() const { return static_cast<std::int64_t>(cuts_.size()) - 1; }
  /// Numbers of the pairs of batch `index` in sorted order, equal lengths in the order given.
  std::vector<std::int64_t> in_order(std::int64_t index) const;
  /// Those of batch number `step` of a training run.
  std::vector<std::int64_t> shuffled(std::int64_t step, std::uint64_t seed) const;

 private:
  std::vector<std::int64_t> order_;   ///< numbers of pairs, sorted by length
  std::vector<std::int64_t> groups_;  ///< where runs of equal lengths begin, and the end
  std::vector<std::int64_t> cuts_;    ///< where batches begin, and the end
};

}  // namespace evenkeel::data
