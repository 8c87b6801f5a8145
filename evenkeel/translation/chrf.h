// chrF2 of a corpus as sacrebleu computes it by default (Popovic 2015, 2016; signature
// case:mixed|eff:yes|nc:6|nw:0|space:no): with P and R the precision and recall of character n-grams, each
// the mean over the orders 1 to 6 that both sides have,
//
//   chrF2 = 100 (1 + 2^2) P R / (2^2 P + R).
//
// White space is taken out first. Of several references of a line the one with the best score counts.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace evenkeel::translation {

/// 0 to 100. References and errors as in bleu().
double chrf(std::span<const std::string> hypotheses, std::span<const std::vector<std::string>> references);

}  // namespace evenkeel::translation
