#include "evenkeel/translation/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "evenkeel/translation/references.h"
#include "evenkeel/translation/tokenize_13a.h"

namespace evenkeel::translation {
namespace {

using NgramCounts = std::unordered_map<std::u32string, std::int64_t>;

// Words hold no spaces, so n-grams with a space between their words are equal only when the words are.
NgramCounts count_ngrams(const std::vector<std::u32string>& words, std::size_t order) {
  NgramCounts counts;
  for (std::size_t i = 0; i + order <= words.size(); ++i) {
    std::u32string ngram = words[i];
    for (std::size_t k = 1; k < order; ++k) ngram += U" " + words[i + k];
    ++counts[ngram];
  }
  return counts;
}

void add_line(Bleu& sums, const std::string& hypothesis, const std::vector<std::string>& references) {
  const std::vector<std::u32string> words = tokenize_13a(hypothesis);
  const auto length = std::ssize(words);
  std::vector<std::vector<std::u32string>> wanted;
  for (const std::string& reference : references) wanted.push_back(tokenize_13a(reference));
  const auto nearest = std::min_element(wanted.begin(), wanted.end(), [&](const auto& a, const auto& b) {
    const auto key = [&](const auto& x) {
      return std::pair(std::abs(length - std::ssize(x)), std::ssize(x));
    };
    return key(a) < key(b);
  });
  sums.hypothesis_length += length;
  sums.reference_length += std::ssize(*nearest);
  for (std::size_t n = 1; n <= Bleu::kOrders; ++n) {
    NgramCounts most;
    for (const auto& reference : wanted) {
      for (const auto& [ngram, count] : count_ngrams(reference, n))
        most[ngram] = std::max(most[ngram], count);
    }
    for (const auto& [ngram, count] : count_ngrams(words, n)) {
      sums.totals[n - 1] += count;
      if (const auto found = most.find(ngram); found != most.end())
        sums.matches[n - 1] += std::min(count, found->second);
    }
  }
}

void finish(Bleu& b, bool effective_order) {
  if (b.hypothesis_length < b.reference_length) {
    b.brevity_penalty = b.hypothesis_length == 0 ? 0
                                                 : std::exp(1 - static_cast<double>(b.reference_length) /
                                                                    static_cast<double>(b.hypothesis_length));
  }
  if (std::all_of(b.matches.begin(), b.matches.end(), [](std::int64_t n) { return n == 0; })) return;
  double smoothing = 1, log_sum = 0;
  std::size_t orders = 0;
  for (; orders < Bleu::kOrders && b.totals[orders] > 0; ++orders) {
    const double matches = static_cast<double>(b.matches[orders]),
                 totals = static_cast<double>(b.totals[orders]);
    if (matches == 0) smoothing *= 2;
    b.precisions[orders] = matches == 0 ? 100 / (smoothing * totals) : 100 * matches / totals;
    log_sum += std::log(b.precisions[orders]);
  }
  if (orders < Bleu::kOrders && !effective_order) return;  // a precision of 0 / 0 makes the product 0
  b.score = b.brevity_penalty * std::exp(log_sum / static_cast<double>(orders));
}

}  // namespace

Bleu bleu(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references,
          bool effective_order) {
  check_references(hypotheses.size(), references);
  Bleu result;
  for (std::size_t i = 0; i < hypotheses.size(); ++i)
    add_line(result, hypotheses[i], references_of_line(references, i));
  finish(result, effective_order);
  return result;
}

}  // namespace evenkeel::translation
