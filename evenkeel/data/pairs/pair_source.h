// Pairs of sentences to translate from and to, as ids of one vocabulary for both.
//
// A sentence of n words is n ids and the end id. The encoder reads that of the source; the decoder reads bos
// and the ids of the target and predicts the ids and the end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "evenkeel/data/pairs/pair_batches.h"
#include "evenkeel/data/pairs/pairs_file.h"
#include "evenkeel/data/source.h"
#include "evenkeel/data/text/token_stream.h"

namespace evenkeel::data {

/// One side of one part: sentences with random access.
class Sentences {
 public:
  /// Every sentence of `ids` ends with the end id.
  explicit Sentences(std::shared_ptr<const TokenStream> ids);
  std::int64_t size() const { return static_cast<std::int64_t>(begins_.size()) - 1; }
  /// Tokens of sentence i, its end included.
  std::int64_t length(std::int64_t i) const;
  /// Place of its first token in ids().
  std::int64_t begin(std::int64_t i) const { return begins_[static_cast<std::size_t>(i)]; }
  /// Its ids, the end included.
  std::vector<std::int32_t> read(std::int64_t i) const;
  const TokenStream& ids() const { return *ids_; }

 private:
  std::shared_ptr<const TokenStream> ids_;
  std::vector<std::int64_t> begins_;  ///< and the end
};

/// Sources and targets that belong together.
struct PairPart {
  Sentences source, target;
  std::int64_t size() const { return source.size(); }
  PairLength length(std::int64_t i) const { return {source.length(i), target.length(i)}; }
};

/// What the two kinds of pairs hand over.
struct OpenedPairs {
  std::string name, fingerprint;
  std::int64_t vocab = 0;
  PairPart train, valid;
  std::optional<double> floor;
};

class PairSource : public Source {
 public:
  /// Pairs longer than `context` on either side are left out of both parts; so are those of the validation
  /// part after the first spec.valid_tokens target tokens. Throws InputError when nothing is left, or an id
  /// is not below the vocabulary.
  PairSource(OpenedPairs pairs, const DataSpec& spec, std::int64_t context);

  std::int64_t vocab() const override { return vocab_; }
  std::string fingerprint() const override { return pairs_.fingerprint; }
  const Facts& facts() const override { return facts_; }
  std::unique_ptr<Loader> loader(const LoaderOptions& options) const override;

  const PairPart& part(Split split) const { return split == Split::kTrain ? pairs_.train : pairs_.valid; }
  /// Numbers of the pairs in use.
  const std::vector<std::int64_t>& used(Split split) const {
    return split == Split::kTrain ? used_train_ : used_valid_;
  }

 private:
  OpenedPairs pairs_;
  std::int64_t vocab_;
  Facts facts_;
  std::vector<std::int64_t> used_train_, used_valid_;
};

/// Kind pairs: a folder written by `evenkeel data tokenize --pairs`. Throws InputError naming what is wrong.
OpenedPairs open_pairs(const DataSpec& spec);
/// Its test part.
PairPart open_test_pairs(const std::filesystem::path& folder);

/// Kind synthetic_pairs: data.pairs says the task. Equal settings give equal pairs.
OpenedPairs make_pair_task(const DataSpec& spec);

}  // namespace evenkeel::data
