// The built-in pair task: the target is the source, the source backwards, or the source sorted.
#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/config/bind.h"
#include "evenkeel/data/pairs/pair_source.h"

namespace evenkeel::data {
namespace {

// Raised whenever the generator changes, so that old runs are not taken for new ones.
constexpr const char* kTaskVersion = "pair task 1 ";

constexpr double kMostSymbols = 1e10;

using Ids = std::vector<std::uint16_t>;

Ids draw_source(const PairTaskSpec& task, const char* part, std::int64_t index) {
  Rng rng(static_cast<std::uint64_t>(task.seed),
          stream_id(std::string("data/pairs/") + part) + static_cast<std::uint64_t>(index));
  const auto spread = static_cast<std::uint64_t>(task.length_max - task.length_min + 1);
  Ids source(static_cast<std::size_t>(task.length_min) + rng.below(spread));
  for (std::uint16_t& id : source)
    id = static_cast<std::uint16_t>(PairIds::kFirst + rng.below(static_cast<std::uint64_t>(task.symbols)));
  return source;
}

Ids target_of(Ids source, PairTask task) {
  if (task == PairTask::kReverse) std::reverse(source.begin(), source.end());
  if (task == PairTask::kSort) std::sort(source.begin(), source.end());
  return source;
}

/// Pairs until `enough(pairs, target tokens)`.
template <class Enough>
PairPart make_part(const PairTaskSpec& task, const char* name, Enough enough) {
  Ids sources, targets;
  for (std::int64_t i = 0; !enough(i, std::ssize(targets)); ++i) {
    for (const auto& [all, ids] : {std::pair{&sources, draw_source(task, name, i)},
                                   std::pair{&targets, target_of(draw_source(task, name, i), task.task)}}) {
      all->insert(all->end(), ids.begin(), ids.end());
      all->push_back(PairIds::kEnd);
    }
  }
  const auto sentences = [&](Ids ids) {
    return Sentences(std::make_shared<MemoryStream>(std::move(ids), "pair task"));
  };
  return {sentences(std::move(sources)), sentences(std::move(targets))};
}

}  // namespace

OpenedPairs make_pair_task(const DataSpec& spec) {
  const PairTaskSpec& task = spec.pairs;
  if (task.length_min > task.length_max) {
    throw InputError(fmt::format("[data.pairs.length_min] must be <= data.pairs.length_max = {}, got {}",
                                 task.length_max, task.length_min));
  }
  if (const double symbols = static_cast<double>(task.count) * static_cast<double>(task.length_max);
      symbols > kMostSymbols) {
    throw InputError(
        fmt::format("[data.pairs.count] = {} pairs of up to data.pairs.length_max = {} symbols are "
                    "more than {:g} symbols, and are held in memory; choose fewer",
                    task.count, task.length_max, kMostSymbols));
  }
  return {fmt::format("{} of {} symbols, {} pairs, seed {}", enum_name(task.task), task.symbols, task.count,
                      task.seed),
          content_hash(kTaskVersion + to_json(task).dump()),
          PairIds::kFirst + task.symbols,
          make_part(task, "train", [&](std::int64_t pairs, std::int64_t) { return pairs == task.count; }),
          make_part(task, "valid",
                    [&](std::int64_t pairs, std::int64_t tokens) {
                      return pairs > 0 && tokens >= spec.valid_tokens;
                    }),
          0.0};
}

}  // namespace evenkeel::data
