#include "evenkeel/data/text_statistics.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::data {

TextStatistics validation_statistics(const WindowSource& source, std::int64_t context,
                                     std::int64_t valid_tokens) {
  std::vector<std::int32_t> window(static_cast<std::size_t>(context + 1));
  std::vector<std::uint64_t> pairs;
  const std::int64_t windows = valid_windows(source, context, valid_tokens);
  for (std::int64_t i = 0; i < windows; ++i) {
    source.read(Split::kValid, i, window);
    for (std::size_t t = 1; t < window.size(); ++t) {
      pairs.push_back(static_cast<std::uint64_t>(window[t - 1]) << 32 |
                      static_cast<std::uint32_t>(window[t]));
    }
  }
  const auto n = static_cast<double>(pairs.size());
  std::vector<std::int64_t> inputs(static_cast<std::size_t>(source.vocab())), targets(inputs.size());
  for (const std::uint64_t pair : pairs) {
    ++inputs[pair >> 32];
    ++targets[pair & 0xffffffffu];
  }
  const auto entropy = [n](const std::vector<std::int64_t>& counts) {
    double h = 0;
    for (const std::int64_t c : counts) {
      if (c > 0) h -= static_cast<double>(c) / n * std::log(static_cast<double>(c) / n);
    }
    return h;
  };

  std::sort(pairs.begin(), pairs.end());
  std::vector<std::int64_t> joint;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (i == 0 || pairs[i] != pairs[i - 1]) joint.push_back(0);
    ++joint.back();
  }
  TextStatistics s;
  s.tokens = static_cast<std::int64_t>(pairs.size());
  s.unigram_entropy = std::max(0.0, entropy(targets));
  const auto rows =
      static_cast<double>(std::count_if(inputs.begin(), inputs.end(), [](auto c) { return c > 0; }));
  const double bias = (static_cast<double>(joint.size()) - rows) / (2 * n);
  if (bias <= 0.1) s.bigram_entropy = std::max(0.0, entropy(joint) - entropy(inputs));
  return s;
}

}  // namespace evenkeel::data
