// BLEU of a corpus as sacrebleu computes it by default (Papineni et al. 2002; Post 2018, arXiv 1804.08771;
// signature case:mixed|eff:no|tok:13a|smooth:exp):
//
//   BLEU = BP exp( sum_{n=1..4} ln p_n / 4 ),  p_n = 100 matches_n / totals_n,
//   BP = 1 when the hypotheses are as long as the references, else exp(1 - reference / hypothesis length).
//
// Matches of an n-gram are clipped at the most times that any one reference of the line holds it; the length
// counted for a line is that of the reference nearest in length, the shorter of two. The k-th order without a
// match counts as 100 / (2^k totals_n) (exponential smoothing); without any match the score is 0.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace evenkeel::translation {

struct Bleu {
  static constexpr std::size_t kOrders = 4;
  double score = 0;                             ///< 0 to 100
  std::array<std::int64_t, kOrders> matches{};  ///< n-grams, clipped
  std::array<std::int64_t, kOrders> totals{};   ///< n-grams of the hypotheses
  std::array<double, kOrders> precisions{};     ///< in percent, smoothed
  double brevity_penalty = 1;
  std::int64_t hypothesis_length = 0, reference_length = 0;  ///< words
};

/// references[r][i] is the r-th reference of line i; an empty one counts as not there. For single sentences
/// `effective_order` leaves out the orders that the hypothesis is too short for. Throws InputError when a
/// list of references has another length than the hypotheses, or a line has no reference.
Bleu bleu(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references,
          bool effective_order = false);

}  // namespace evenkeel::translation
