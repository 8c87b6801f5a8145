// Plug-in entropies of a text, in nats per token: what a predictor that knows only frequencies would lose.
//
//   H1 = - sum_v p(v) ln p(v)                     of the targets
//   H2 = - sum_{u,v} p(u,v) ln p(v|u)             of (input, target) pairs
//
// p are relative frequencies in the text itself, so both are biased low, by about (cells - rows) / 2N (Miller
// 1955).
#pragma once

#include <optional>

#include "evenkeel/data/source.h"

namespace evenkeel::data {

struct TextStatistics {
  double unigram_entropy = 0;
  std::optional<double> bigram_entropy;  ///< unset when its first-order bias would exceed 0.1 nat
  std::int64_t tokens = 0;               ///< targets counted
};

/// Of the fixed validation set: windows [0, n) of the validation split, n = valid_windows(...).
TextStatistics validation_statistics(const WindowSource& source, std::int64_t context,
                                     std::int64_t valid_tokens);

}  // namespace evenkeel::data
