#include "evenkeel/bench/batches.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evenkeel/base/rng.h"
#include "evenkeel/data/pairs/pair_batches.h"
#include "evenkeel/spec/family.h"

namespace evenkeel::bench {
namespace {

constexpr std::int64_t kPairs = 29000, kPairBatches = 4;

data::HostBatch random_text(const Experiment& e) {
  Rng rng(static_cast<std::uint64_t>(e.train.seed), "bench/batch");
  data::HostBatch batch;
  batch.rows = e.train.batch;
  batch.cols = e.arch.context;
  for (std::vector<std::int32_t>* ids : {&batch.inputs, &batch.targets}) {
    ids->resize(static_cast<std::size_t>(batch.rows * batch.cols));
    for (std::int32_t& id : *ids)
      id = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(*e.data.vocab)));
  }
  return batch;
}

std::vector<data::PairLength> random_lengths(const Experiment& e) {
  Rng rng(static_cast<std::uint64_t>(e.train.seed), "bench/lengths");
  const auto rounded = [&](double length) {
    return std::clamp<std::int64_t>(std::lround(length), 2, e.arch.context);
  };
  std::vector<data::PairLength> lengths(kPairs);
  for (data::PairLength& length : lengths) {
    const double source = 14.7 * std::exp(0.30 * rng.normal());
    length = {rounded(source), rounded(1.03 * source * std::exp(0.17 * rng.normal()))};
  }
  return lengths;
}

data::HostBatch random_pairs(const Experiment& e, const std::vector<data::PairLength>& lengths, Rng& rng) {
  data::HostBatch b;
  b.rows = std::ssize(lengths);
  for (const data::PairLength& length : lengths) {
    b.source_cols = std::max(b.source_cols, length.source);
    b.cols = std::max(b.cols, length.target);
  }
  const auto words = static_cast<std::uint64_t>(*e.data.vocab - PairIds::kFirst);
  const auto sentence = [&](std::int64_t length) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(length), PairIds::kEnd);
    std::generate(ids.begin(), ids.end() - 1,
                  [&] { return static_cast<std::int32_t>(PairIds::kFirst + rng.below(words)); });
    return ids;
  };
  const auto append = [](std::vector<std::int32_t>& all, std::vector<std::int32_t> row, std::int64_t cols,
                         std::int32_t filler) {
    row.resize(static_cast<std::size_t>(cols), filler);
    all.insert(all.end(), row.begin(), row.end());
  };
  for (const auto& [source, target] : lengths) {
    append(b.sources, sentence(source), b.source_cols, PairIds::kPad);
    std::vector<std::int32_t> ids = sentence(target);
    append(b.targets, ids, b.cols, data::kNoTarget);
    ids.insert(ids.begin(), PairIds::kBos);
    ids.pop_back();
    append(b.inputs, std::move(ids), b.cols, PairIds::kPad);
    b.source_lengths.push_back(source);
    b.lengths.push_back(target);
  }
  return b;
}

}  // namespace

std::vector<data::HostBatch> batches_of(const Experiment& e) {
  if (family_row(e.arch.family).reads == DataForm::kText) return {random_text(e)};
  const std::vector<data::PairLength> lengths = random_lengths(e);
  std::vector<std::int64_t> all(kPairs);
  std::iota(all.begin(), all.end(), 0);
  const data::PairBatches cut(lengths, all, e.data.batch_tokens);
  Rng rng(static_cast<std::uint64_t>(e.train.seed), "bench/batch");
  std::vector<data::HostBatch> batches;
  for (std::int64_t i = 0; i < kPairBatches; ++i) {
    std::vector<data::PairLength> own;
    for (const std::int64_t pair : cut.in_order((2 * i + 1) * cut.size() / (2 * kPairBatches)))
      own.push_back(lengths[static_cast<std::size_t>(pair)]);
    batches.push_back(random_pairs(e, own, rng));
  }
  return batches;
}

double tokens_per_step(const std::vector<data::HostBatch>& batches) {
  std::ptrdiff_t tokens = 0;
  for (const data::HostBatch& batch : batches)
    tokens += std::count_if(batch.targets.begin(), batch.targets.end(), [](auto id) { return id >= 0; });
  return static_cast<double>(tokens) / static_cast<double>(batches.size());
}

Json first_request(const Experiment& experiment) {
  Json all = Json::array();
  for (const data::HostBatch& batch : batches_of(experiment)) {
    Json one{{"rows", batch.rows}, {"inputs", batch.inputs}, {"targets", batch.targets}};
    if (!batch.sources.empty()) {
      one["sources"] = batch.sources;
      one["source_lengths"] = batch.source_lengths;
      one["lengths"] = batch.lengths;
    }
    all.push_back(std::move(one));
  }
  // Another version may be a peer: it is not told of fields that it need not know.
  Json config = to_json(experiment);
  remove_fields<Experiment>(config, is_new_and_default);
  return {{"experiment", std::move(config)}, {"batches", std::move(all)}};
}

}  // namespace evenkeel::bench
