#include "evenkeel/translation/chrf.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "evenkeel/base/utf8.h"
#include "evenkeel/translation/references.h"
#include "evenkeel/translation/tokenize_13a.h"

namespace evenkeel::translation {
namespace {

constexpr std::size_t kOrders = 6;
constexpr double kBetaSquared = 4;

struct Order {
  std::int64_t hypothesis = 0, reference = 0, matches = 0;  ///< n-grams
};
using Counts = std::array<Order, kOrders>;

std::u32string without_spaces(const std::string& text) {
  std::u32string characters = code_points(text);
  std::erase_if(characters, is_space);
  return characters;
}

std::unordered_map<std::u32string_view, std::int64_t> count_ngrams(std::u32string_view text,
                                                                   std::size_t order) {
  std::unordered_map<std::u32string_view, std::int64_t> counts;
  for (std::size_t i = 0; i + order <= text.size(); ++i) ++counts[text.substr(i, order)];
  return counts;
}

Counts compare(const std::u32string& hypothesis, const std::u32string& reference) {
  Counts counts;
  for (std::size_t n = 1; n <= kOrders; ++n) {
    Order& order = counts[n - 1];
    const auto wanted = count_ngrams(reference, n);
    for (const auto& [ngram, count] : wanted) order.reference += count;
    for (const auto& [ngram, count] : count_ngrams(hypothesis, n)) {
      // An order that the reference is too short for counts on neither side.
      if (!wanted.empty()) order.hypothesis += count;
      if (const auto found = wanted.find(ngram); found != wanted.end())
        order.matches += std::min(count, found->second);
    }
  }
  return counts;
}

double score(const Counts& counts) {
  double precision = 0, recall = 0;
  int orders = 0;
  for (const Order& order : counts) {
    if (order.hypothesis == 0 || order.reference == 0) continue;
    precision += static_cast<double>(order.matches) / static_cast<double>(order.hypothesis);
    recall += static_cast<double>(order.matches) / static_cast<double>(order.reference);
    ++orders;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

}  // namespace

double chrf(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references) {
  check_references(hypotheses.size(), references);
  Counts sums;
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    const std::u32string hypothesis = without_spaces(hypotheses[i]);
    Counts best;
    double best_score = -1;
    for (const std::string& reference : references_of_line(references, i)) {
      const Counts counts = compare(hypothesis, without_spaces(reference));
      if (const double s = score(counts); s > best_score) {
        best_score = s;
        best = counts;
      }
    }
    for (std::size_t n = 0; n < kOrders; ++n) {
      sums[n].hypothesis += best[n].hypothesis;
      sums[n].reference += best[n].reference;
      sums[n].matches += best[n].matches;
    }
  }
  return score(sums);
}

}  // namespace evenkeel::translation
