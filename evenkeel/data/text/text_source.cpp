#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/data/text/token_stream.h"
#include "evenkeel/data/text_statistics.h"

namespace evenkeel::data {
namespace {

constexpr std::int64_t kMaxVocab = 1 << 24;

// Marks the ids of a stream and returns the number of ids needed to hold them all.
std::int64_t scan(const TokenStream& stream, std::int64_t vocab, std::vector<bool>& occurs) {
  std::vector<std::int32_t> block(std::size_t{1} << 18);
  std::int64_t needed = static_cast<std::int64_t>(occurs.size());
  for (std::int64_t begin = 0; begin < stream.size(); begin += static_cast<std::int64_t>(block.size())) {
    const auto n = std::min(static_cast<std::int64_t>(block.size()), stream.size() - begin);
    const std::span<std::int32_t> ids(block.data(), static_cast<std::size_t>(n));
    stream.read(begin, ids);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto id = static_cast<std::int64_t>(static_cast<std::uint32_t>(ids[static_cast<std::size_t>(i)]));
      if (id >= (vocab > 0 ? vocab : kMaxVocab)) {
        throw InputError(
            fmt::format("[data.path] {}: token id {} is not below the vocabulary of {}; the file is corrupt "
                        "or made with another "
                        "vocabulary (set data.vocab or data.kind)",
                        stream.where(begin + i), id, vocab > 0 ? vocab : kMaxVocab));
      }
      needed = std::max(needed, id + 1);
      if (id >= static_cast<std::int64_t>(occurs.size())) occurs.resize(static_cast<std::size_t>(id + 1));
      occurs[static_cast<std::size_t>(id)] = true;
    }
  }
  return needed;
}

class TextSource : public WindowSource {
 public:
  TextSource(OpenedText text, const DataSpec& spec, std::int64_t context)
      : text_(std::move(text)), context_(context) {
    if (spec.vocab && *spec.vocab < text_.vocab) {
      throw InputError(
          fmt::format("[data.vocab] must be >= {}, which the data needs, got {}", text_.vocab, *spec.vocab));
    }
    split(spec);
    check_length();
    const std::int64_t limit = text_.vocab > 0 ? text_.vocab : spec.vocab.value_or(0);
    const std::int64_t needed = scan(*text_.train, limit, facts_.occurs);
    std::vector<bool> in_valid;
    const std::int64_t needed_valid = scan(*text_.valid, limit, in_valid);
    if (text_.vocab == 0) text_.vocab = std::max(needed, needed_valid);
    vocab_ = std::max(text_.vocab, spec.vocab.value_or(0));
    facts_.occurs.resize(static_cast<std::size_t>(vocab_));
    facts_.name = text_.name;
    facts_.train_tokens = text_.train->size();
    facts_.valid_tokens = text_.valid->size();
    const TextStatistics s = validation_statistics(*this, context, spec.valid_tokens);
    facts_.unigram_entropy = s.unigram_entropy;
    facts_.bigram_entropy = s.bigram_entropy;
  }

  std::int64_t vocab() const override { return vocab_; }
  std::string fingerprint() const override { return text_.fingerprint; }
  const Facts& facts() const override { return facts_; }
  std::int64_t windows(Split part) const override { return (stream(part).size() - 1) / context_; }
  void read(Split part, std::int64_t index, std::span<std::int32_t> tokens) const override {
    stream(part).read(index * context_, tokens);
    check_unchanged(tokens, vocab_, stream(part), index * context_);
  }

 private:
  const TokenStream& stream(Split part) const { return part == Split::kTrain ? *text_.train : *text_.valid; }

  void split(const DataSpec& spec) {
    if (text_.valid) return;
    const std::int64_t all = text_.train->size();
    const auto last = static_cast<std::int64_t>(std::ceil(static_cast<double>(all) * spec.valid_fraction));
    const auto whole = text_.train;
    text_.valid = std::make_shared<StreamPart>(whole, all - last, last);
    text_.train = std::make_shared<StreamPart>(whole, 0, all - last);
  }

  void check_length() const {
    for (const Split part : {Split::kTrain, Split::kValid}) {
      if (stream(part).size() > context_) continue;
      throw InputError(fmt::format(
          "[data.path] {}: too short: {} {} for {}, but one window takes arch.context + 1 = {}; give a "
          "longer file, or set "
          "a smaller arch.context{}",
          text_.name, stream(part).size(), text_.unit, part == Split::kTrain ? "training" : "validation",
          context_ + 1, part == Split::kValid ? " or a larger data.valid_fraction" : ""));
    }
  }

  OpenedText text_;
  std::int64_t context_, vocab_ = 0;
  Facts facts_;
};

}  // namespace

std::unique_ptr<WindowSource> make_text_source(OpenedText text, const DataSpec& spec, std::int64_t context) {
  return std::make_unique<TextSource>(std::move(text), spec, context);
}

}  // namespace evenkeel::data
