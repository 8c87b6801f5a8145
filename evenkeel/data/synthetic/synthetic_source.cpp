#include "evenkeel/data/synthetic/synthetic_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/config/bind.h"
#include "evenkeel/data/synthetic/language.h"
#include "evenkeel/data/text_statistics.h"

namespace evenkeel::data {
namespace {

// Raised whenever the generator changes, so that old runs are not taken for new ones.
constexpr const char* kLanguageVersion = "synthetic language 1 ";
// Draws from the Zipf law while the language is built; so many take half a minute.
constexpr double kMostDraws = 1e9;
// Top bit of the stream number: training and validation sequences can never coincide.
constexpr std::uint64_t kValidBit = std::uint64_t{1} << 63;

void check(const SyntheticSpec& s, std::int64_t context) {
  if (s.lag_min > s.lag_max) {
    throw InputError(fmt::format("[data.synthetic.lag_min] must be <= data.synthetic.lag_max = {}, got {}",
                                 s.lag_max, s.lag_min));
  }
  if (s.successors > s.vocab) {
    throw InputError(fmt::format("[data.synthetic.successors] must be <= data.synthetic.vocab = {}, got {}",
                                 s.vocab, s.successors));
  }
  if (const double draws = expected_draws(s); draws > kMostDraws) {
    throw InputError(fmt::format(
        "[data.synthetic.successors] = {}: to find as many different ones for each of {} tokens takes about "
        "{:.0e} "
        "draws with data.synthetic.zipf = {}, more than {:g}; choose fewer successors or a smaller zipf",
        s.successors, s.vocab, draws, s.zipf, kMostDraws));
  }
  if (s.copy > 0 && context < s.lag_max) {
    throw InputError(fmt::format(
        "[arch.context] must be >= data.synthetic.lag_max = {}, or copied tokens lie out of sight, got {}",
        s.lag_max, context));
  }
}

class SyntheticSource : public WindowSource {
 public:
  SyntheticSource(const DataSpec& spec, std::int64_t context)
      : language_(spec.synthetic),
        vocab_(std::max(spec.synthetic.vocab, spec.vocab.value_or(0))),
        valid_windows_(std::max<std::int64_t>(1, spec.valid_tokens / context)),
        fingerprint_(content_hash(kLanguageVersion + to_json(spec.synthetic).dump())) {
    facts_.name =
        fmt::format("synthetic language, seed {}, {} ids", spec.synthetic.seed, spec.synthetic.vocab);
    facts_.valid_tokens = valid_windows_ * context;
    facts_.occurs.assign(static_cast<std::size_t>(vocab_), false);
    std::fill_n(facts_.occurs.begin(), spec.synthetic.vocab, true);
    const TextStatistics s = validation_statistics(*this, context, spec.valid_tokens);
    facts_.unigram_entropy = s.unigram_entropy;
    facts_.bigram_entropy = s.bigram_entropy;
    facts_.floor = ideal_loss(context);
  }

  std::int64_t vocab() const override { return vocab_; }
  std::string fingerprint() const override { return fingerprint_; }
  const Facts& facts() const override { return facts_; }
  std::int64_t windows(Split split) const override { return split == Split::kTrain ? -1 : valid_windows_; }
  void read(Split split, std::int64_t index, std::span<std::int32_t> tokens) const override {
    assert(index >= 0);
    language_.sample(static_cast<std::uint64_t>(index) | (split == Split::kValid ? kValidBit : 0), tokens);
  }

 private:
  double ideal_loss(std::int64_t context) const {
    std::vector<std::int32_t> window(static_cast<std::size_t>(context + 1));
    double sum = 0;
    for (std::int64_t i = 0; i < valid_windows_; ++i) {
      read(Split::kValid, i, window);
      for (const double loss : language_.ideal_losses(window)) sum += loss;
    }
    return sum / static_cast<double>(valid_windows_ * context);
  }

  Language language_;
  std::int64_t vocab_, valid_windows_;
  std::string fingerprint_;
  Facts facts_;
};

}  // namespace

std::unique_ptr<WindowSource> make_synthetic_source(const DataSpec& spec, std::int64_t context) {
  check(spec.synthetic, context);
  if (spec.vocab && *spec.vocab < spec.synthetic.vocab) {
    throw InputError(fmt::format("[data.vocab] must be >= {} (data.synthetic.vocab), got {}",
                                 spec.synthetic.vocab, *spec.vocab));
  }
  return std::make_unique<SyntheticSource>(spec, context);
}

}  // namespace evenkeel::data
