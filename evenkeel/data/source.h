// What models read: token sequences for language models (here) or sentence pairs (data/pairs/pair_source.h),
// addressed by (split, index): the same index always gives the same tokens, so data order depends only on the
// seed and a run resumes from a step number alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evenkeel/spec/data.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::data {

enum class Split { kTrain, kValid };

/// What is known about a source's text. Entropies in nats per token.
struct Facts {
  std::string name;            ///< one line for people: "input.txt, 1115394 bytes"
  double unigram_entropy = 0;  ///< H1, plug-in, of the targets of the fixed validation set
  /// H(x_t | x_{t-1}), plug-in, of the same targets; unset where its bias would exceed 0.1 nat
  std::optional<double> bigram_entropy;
  std::optional<double> floor;     ///< mean loss of the ideal predictor on the same (synthetic only)
  std::int64_t train_tokens = -1;  ///< -1: endless
  std::int64_t valid_tokens = 0;
  std::vector<bool> occurs;  ///< [V]: ids that occur in the training split
};

/// A target that is none: the loss passes it over.
inline constexpr std::int32_t kNoTarget = -1;

/// A batch on the host: row-major [rows, cols].
struct HostBatch {
  std::int64_t rows = 0, cols = 0;
  std::vector<std::int32_t> inputs, targets;
  // Of sentence pairs alone: targets belong to the decoder's inputs, and rows are filled up with padding.
  std::int64_t source_cols = 0;
  std::vector<std::int32_t> sources;                  ///< [rows, source_cols], what the encoder reads
  std::vector<std::int64_t> source_lengths, lengths;  ///< [rows], of sources and inputs, without padding
};

/// Training batches in an order fixed by the seed, and the fixed validation set, the same for every seed and
/// arm.
class Loader {
 public:
  virtual ~Loader() = default;
  /// Of step `step` = 0, 1, ...
  virtual HostBatch train_batch(std::int64_t step) const = 0;
  virtual std::int64_t valid_batches(std::int64_t valid_tokens) const = 0;
  virtual HostBatch valid_batch(std::int64_t index, std::int64_t valid_tokens) const = 0;
  /// Fraction of the training data read after `step` steps; 0 for an endless source.
  virtual double epochs(std::int64_t step) const = 0;
};

struct LoaderOptions {
  std::int64_t context = 0;
  std::int64_t batch = 0;         ///< windows per step; of pairs unused
  std::int64_t batch_tokens = 0;  ///< of pairs
  std::uint64_t seed = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t vocab() const = 0;
  virtual std::string fingerprint() const = 0;
  virtual const Facts& facts() const = 0;
  /// Keeps a reference to this.
  virtual std::unique_ptr<Loader> loader(const LoaderOptions& options) const = 0;
};

/// A source of windows of `context + 1` tokens; inputs are the first `context`, targets the last `context`.
class WindowSource : public Source {
 public:
  std::unique_ptr<Loader> loader(const LoaderOptions& options) const override;
  /// Windows of the split; -1 when endless (then every index >= 0 is valid).
  virtual std::int64_t windows(Split split) const = 0;
  /// Fills `tokens` (context + 1 ids) with window `index`. Training windows of finite text are consecutive
  /// stretches of the packed stream; the loader shuffles them.
  virtual void read(Split split, std::int64_t index, std::span<std::int32_t> tokens) const = 0;
};

/// Opens what `spec` names (told from the path when kind is unset). Throws InputError (file, byte offset,
/// what to do) for corrupt, empty or too short input.
std::unique_ptr<Source> open_source(const DataSpec& spec, std::int64_t context);
/// The same for every kind but pairs.
std::unique_ptr<WindowSource> open_windows(const DataSpec& spec, std::int64_t context);

/// For resolve(): what the data turned out to be.
DataFacts facts_for_resolve(const Source& source, const DataSpec& spec);

/// Windows of the fixed validation set: the first valid_tokens worth of the split, at least one.
std::int64_t valid_windows(const WindowSource& source, std::int64_t context, std::int64_t valid_tokens);

/// Step s holds windows [s*B, (s+1)*B) of the seeded order; each epoch of finite text is a fresh permutation.
/// The validation set is the first valid_tokens worth of windows.
class WindowLoader : public Loader {
 public:
  WindowLoader(const WindowSource& source, std::int64_t context, std::int64_t batch, std::uint64_t seed);
  HostBatch train_batch(std::int64_t step) const override;
  std::int64_t valid_batches(std::int64_t valid_tokens) const override;
  HostBatch valid_batch(std::int64_t index, std::int64_t valid_tokens) const override;
  double epochs(std::int64_t step) const override;

 private:
  const WindowSource& source_;
  std::int64_t context_, batch_;
  std::uint64_t seed_;
};

}  // namespace evenkeel::data
