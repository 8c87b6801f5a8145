#include "evenkeel/data/pairs/pair_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/data/text/formats.h"

namespace evenkeel::data {
namespace {

/// Calls use(position, id) for every id of a stream.
template <class Use>
void for_each_id(const TokenStream& stream, Use use) {
  std::vector<std::int32_t> block(std::size_t{1} << 16);
  for (std::int64_t begin = 0; begin < stream.size(); begin += std::ssize(block)) {
    const std::int64_t n = std::min(std::ssize(block), stream.size() - begin);
    stream.read(begin, std::span(block.data(), static_cast<std::size_t>(n)));
    for (std::int64_t i = 0; i < n; ++i) use(begin + i, block[static_cast<std::size_t>(i)]);
  }
}

void check_ids(const Sentences& sentences, std::int64_t vocab) {
  for_each_id(sentences.ids(), [&](std::int64_t at, std::int32_t id) {
    if (id >= 0 && id < vocab) return;
    throw InputError(fmt::format(
        "[data.path] {}: token id {} is not below the vocabulary of {}; run `evenkeel data tokenize` again",
        sentences.ids().where(at), id, vocab));
  });
}

void check_part(const PairPart& part, std::int64_t vocab) {
  check_ids(part.source, vocab);
  check_ids(part.target, vocab);
}

/// Entropy in nats of the ids of the sentences in `use`.
double unigram_entropy(const Sentences& sentences, const std::vector<std::int64_t>& use, std::int64_t vocab) {
  std::vector<double> counts(static_cast<std::size_t>(vocab));
  double all = 0, sum = 0;
  for (const std::int64_t i : use) {
    for (const std::int32_t id : sentences.read(i)) ++counts[static_cast<std::size_t>(id)];
    all += static_cast<double>(sentences.length(i));
  }
  for (const double n : counts)
    if (n > 0) sum -= n / all * std::log(n / all);
  return sum;
}

std::int64_t target_tokens(const PairPart& part, const std::vector<std::int64_t>& use) {
  std::int64_t sum = 0;
  for (const std::int64_t i : use) sum += part.target.length(i);
  return sum;
}

std::vector<PairLength> lengths_of(const PairPart& part) {
  std::vector<PairLength> lengths;
  for (std::int64_t i = 0; i < part.size(); ++i) lengths.push_back(part.length(i));
  return lengths;
}

class PairLoader : public Loader {
 public:
  PairLoader(const PairSource& source, const LoaderOptions& options)
      : source_(source),
        seed_(options.seed),
        train_(lengths_of(source.part(Split::kTrain)), source.used(Split::kTrain), options.batch_tokens),
        valid_(lengths_of(source.part(Split::kValid)), source.used(Split::kValid), options.batch_tokens) {}

  HostBatch train_batch(std::int64_t step) const override {
    return batch(source_.part(Split::kTrain), train_.shuffled(step, seed_));
  }
  std::int64_t valid_batches(std::int64_t) const override { return valid_.size(); }
  HostBatch valid_batch(std::int64_t index, std::int64_t) const override {
    return batch(source_.part(Split::kValid), valid_.in_order(index));
  }
  double epochs(std::int64_t step) const override {
    return static_cast<double>(step) / static_cast<double>(train_.size());
  }

 private:
  HostBatch batch(const PairPart& part, const std::vector<std::int64_t>& pairs) const {
    HostBatch b;
    b.rows = std::ssize(pairs);
    for (const std::int64_t i : pairs) {
      b.cols = std::max(b.cols, part.target.length(i));
      b.source_cols = std::max(b.source_cols, part.source.length(i));
    }
    const auto cells = static_cast<std::size_t>(b.rows * b.cols);
    b.inputs.assign(cells, PairIds::kPad);
    b.targets.assign(cells, kNoTarget);
    b.sources.assign(static_cast<std::size_t>(b.rows * b.source_cols), PairIds::kPad);
    for (std::int64_t row = 0; row < b.rows; ++row) {
      const std::int64_t i = pairs[static_cast<std::size_t>(row)];
      const std::vector<std::int32_t> source = part.source.read(i), target = part.target.read(i);
      check_unchanged(source, source_.vocab(), part.source.ids(), part.source.begin(i));
      check_unchanged(target, source_.vocab(), part.target.ids(), part.target.begin(i));
      b.source_lengths.push_back(std::ssize(source));
      b.lengths.push_back(std::ssize(target));
      std::copy(source.begin(), source.end(), b.sources.begin() + row * b.source_cols);
      std::copy(target.begin(), target.end(), b.targets.begin() + row * b.cols);
      const auto inputs = b.inputs.begin() + row * b.cols;
      *inputs = PairIds::kBos;
      std::copy(target.begin(), target.end() - 1, inputs + 1);
    }
    return b;
  }

  const PairSource& source_;
  std::uint64_t seed_;
  PairBatches train_, valid_;
};

std::shared_ptr<const TokenStream> open_side(const std::filesystem::path& folder, const char* part,
                                             const char* side, const PairsFile::Side& stored, int width) {
  return open_stored_ids(folder / pairs_bin_name(part, side), {stored.tokens, 0, stored.hash, 0}, width);
}

PairPart open_part(const std::filesystem::path& folder, const char* name, const PairsFile::Part& stored,
                   int width) {
  PairPart part{Sentences(open_side(folder, name, "source", stored.source, width)),
                Sentences(open_side(folder, name, "target", stored.target, width))};
  for (const Sentences* side : {&part.source, &part.target}) {
    if (side->size() != stored.pairs) {
      bad_tokens(folder / "pairs.json", fmt::format("promises {} pairs in {}, but {} holds {} sentences",
                                                    stored.pairs, name, side->ids().where(0), side->size()));
    }
  }
  return part;
}

}  // namespace

Sentences::Sentences(std::shared_ptr<const TokenStream> ids) : ids_(std::move(ids)), begins_{0} {
  for_each_id(*ids_, [&](std::int64_t at, std::int32_t id) {
    if (id == PairIds::kEnd) begins_.push_back(at + 1);
  });
  if (begins_.back() != ids_->size()) {
    throw InputError(
        fmt::format("[data.path] {}: the last sentence has no end; run `evenkeel data tokenize` again",
                    ids_->where(begins_.back())));
  }
}

std::int64_t Sentences::length(std::int64_t i) const {
  const auto at = static_cast<std::size_t>(i);
  return begins_[at + 1] - begins_[at];
}

std::vector<std::int32_t> Sentences::read(std::int64_t i) const {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(length(i)));
  ids_->read(begins_[static_cast<std::size_t>(i)], ids);
  return ids;
}

PairSource::PairSource(OpenedPairs pairs, const DataSpec& spec, std::int64_t context)
    : pairs_(std::move(pairs)), vocab_(std::max(pairs_.vocab, spec.vocab.value_or(0))) {
  std::int64_t left_out = 0, tokens = 0;
  const auto fits = [&](const PairLength& l) { return std::max(l.source, l.target) <= context; };
  for (std::int64_t i = 0; i < pairs_.train.size(); ++i) {
    if (fits(pairs_.train.length(i))) used_train_.push_back(i);
    else ++left_out;
  }
  for (std::int64_t i = 0; i < pairs_.valid.size() && (tokens < spec.valid_tokens || tokens == 0); ++i) {
    const PairLength length = pairs_.valid.length(i);
    if (!fits(length)) continue;
    used_valid_.push_back(i);
    tokens += length.target;
  }
  for (const auto& [name, used] :
       {std::pair{"training", &used_train_}, std::pair{"validation", &used_valid_}}) {
    if (!used->empty()) continue;
    throw InputError(fmt::format(
        "[data.path] {}: no pair for {} fits into arch.context = {} tokens a side; set a larger arch.context",
        pairs_.name, name, context));
  }
  facts_.name = pairs_.name;
  if (left_out > 0) facts_.name += fmt::format("; {} longer than {} tokens left out", left_out, context);
  facts_.train_tokens = target_tokens(pairs_.train, used_train_);
  facts_.valid_tokens = tokens;
  facts_.unigram_entropy = unigram_entropy(pairs_.valid.target, used_valid_, vocab_);
  facts_.floor = pairs_.floor;
  facts_.occurs.assign(static_cast<std::size_t>(vocab_), false);
  for_each_id(pairs_.train.target.ids(),
              [&](std::int64_t, std::int32_t id) { facts_.occurs[static_cast<std::size_t>(id)] = true; });
}

std::unique_ptr<Loader> PairSource::loader(const LoaderOptions& options) const {
  return std::make_unique<PairLoader>(*this, options);
}

OpenedPairs open_pairs(const DataSpec& spec) {
  const std::filesystem::path folder = *spec.path;
  if (spec.valid_path) {
    throw InputError(fmt::format(
        "[data.valid_path] {}: a folder of pairs brings its own validation part; leave data.valid_path out",
        *spec.valid_path));
  }
  const PairsFile file = read_pairs_file(folder);
  OpenedPairs pairs{
      fmt::format("{}, {} pairs; validation {}", last_name(folder), file.train.pairs, file.valid.pairs),
      content_hash(file.train.source.hash + " " + file.train.target.hash + " " + file.valid.source.hash +
                   " " + file.valid.target.hash),
      file.vocab,
      open_part(folder, "train", file.train, file.width),
      open_part(folder, "valid", file.valid, file.width),
      {}};
  check_part(pairs.train, file.vocab);
  check_part(pairs.valid, file.vocab);
  return pairs;
}

PairPart open_test_pairs(const std::filesystem::path& folder) {
  const PairsFile file = read_pairs_file(folder);
  if (!file.test) {
    throw InputError(
        fmt::format("[data.path] {} holds no test part; make it with `evenkeel data tokenize --pairs --test`",
                    folder.string()));
  }
  PairPart part = open_part(folder, "test", *file.test, file.width);
  check_part(part, file.vocab);
  return part;
}

}  // namespace evenkeel::data
