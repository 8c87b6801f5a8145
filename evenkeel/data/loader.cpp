#include <algorithm>
#include <cassert>

#include "evenkeel/base/rng.h"
#include "evenkeel/data/permutation.h"
#include "evenkeel/data/source.h"

namespace evenkeel::data {
namespace {

// Where a seed starts in an endless source: 62 random bits, so two seeds share no window in practice.
std::uint64_t endless_start(std::uint64_t seed) {
  const auto words = philox(seed, stream_id("data/order/endless"), 0);
  return (std::uint64_t{words[0]} << 32 | words[1]) >> 2;
}

HostBatch make_batch(std::int64_t rows, std::int64_t cols) {
  HostBatch batch;
  batch.rows = rows;
  batch.cols = cols;
  const auto size = static_cast<std::size_t>(rows * cols);
  batch.inputs.resize(size);
  batch.targets.resize(size);
  return batch;
}

void put_row(HostBatch& batch, std::int64_t row, std::span<const std::int32_t> window) {
  const std::ptrdiff_t at = row * batch.cols;
  std::copy_n(window.begin(), batch.cols, batch.inputs.begin() + at);
  std::copy_n(window.begin() + 1, batch.cols, batch.targets.begin() + at);
}

}  // namespace

WindowLoader::WindowLoader(const WindowSource& source, std::int64_t context, std::int64_t batch,
                           std::uint64_t seed)
    : source_(source), context_(context), batch_(batch), seed_(seed) {
  assert(context >= 1 && batch >= 1);
}

HostBatch WindowLoader::train_batch(std::int64_t step) const {
  HostBatch batch = make_batch(batch_, context_);
  std::vector<std::int32_t> window(static_cast<std::size_t>(context_ + 1));
  const std::int64_t windows = source_.windows(Split::kTrain);
  const std::uint64_t start = windows < 0 ? endless_start(seed_) : 0;
  for (std::int64_t row = 0; row < batch_; ++row) {
    const auto k = static_cast<std::uint64_t>(step * batch_ + row);
    std::uint64_t index = (start + k) & ~(std::uint64_t{3} << 62);
    if (windows >= 0) {
      const auto n = static_cast<std::uint64_t>(windows);
      index = Permutation(n, seed_, stream_id("data/order/epoch") + k / n)(k % n);
    }
    source_.read(Split::kTrain, static_cast<std::int64_t>(index), window);
    put_row(batch, row, window);
  }
  return batch;
}

std::int64_t WindowLoader::valid_batches(std::int64_t valid_tokens) const {
  return (valid_windows(source_, context_, valid_tokens) + batch_ - 1) / batch_;
}

HostBatch WindowLoader::valid_batch(std::int64_t index, std::int64_t valid_tokens) const {
  const std::int64_t first = index * batch_;
  const std::int64_t rows = std::min(batch_, valid_windows(source_, context_, valid_tokens) - first);
  assert(rows >= 1);
  HostBatch batch = make_batch(rows, context_);
  std::vector<std::int32_t> window(static_cast<std::size_t>(context_ + 1));
  for (std::int64_t row = 0; row < rows; ++row) {
    source_.read(Split::kValid, first + row, window);
    put_row(batch, row, window);
  }
  return batch;
}

double WindowLoader::epochs(std::int64_t step) const {
  const std::int64_t windows = source_.windows(Split::kTrain);
  return windows < 0 ? 0 : static_cast<double>(step * batch_) / static_cast<double>(windows);
}

std::unique_ptr<Loader> WindowSource::loader(const LoaderOptions& options) const {
  return std::make_unique<WindowLoader>(*this, options.context, options.batch, options.seed);
}

std::int64_t valid_windows(const WindowSource& source, std::int64_t context, std::int64_t valid_tokens) {
  return std::min(source.windows(Split::kValid), std::max<std::int64_t>(1, valid_tokens / context));
}

}  // namespace evenkeel::data
