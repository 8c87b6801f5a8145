// Translation with an encoder-decoder: beam search over target sentences, greedy with one beam.
//
//   score(y) = sum_t ln p(y_t | y_<t, source) / length(y)^alpha,  the end of the sentence counted
//
// As in fairseq: a beam keeps the best prefixes that have not ended; a sentence that ends among the best
// `beam` candidates is set aside; the search stops when `beam` have ended or the longest is reached, and
// gives the best score. alpha is that of Wu et al. 2016 (arXiv 1609.08144) on the plain length. Nothing but
// the prefix is kept from word to word: a sentence of T words costs T passes of the decoder over at most T
// words.
#pragma once

#include <cstdint>
#include <vector>

#include "evenkeel/models/seq2seq.h"

namespace evenkeel::models {

struct BeamSearch {
  std::int64_t beam = 5;
  double length_penalty = 1;    ///< alpha
  double longest_factor = 1.2;  ///< at most factor * source + extra tokens, and never above arch.context
  std::int64_t longest_extra = 10;
};

/// The ids of a sentence with their end, 1 to arch.context tokens -> its best target without the end. Throws
/// InputError for one that is longer.
std::vector<std::int32_t> translate(const Seq2Seq& model, const std::vector<std::int32_t>& source,
                                    const BeamSearch& search, const nn::Context& context);

}  // namespace evenkeel::models
