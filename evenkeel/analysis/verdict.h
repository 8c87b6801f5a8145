// The verdict in plain sentences: what moved, how sure that is, and what it cost.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/analysis/analysis.h"

namespace evenkeel::analysis {

/// For each comparison a headline and a sentence with the numbers; for a single arm what it can stand. Never
/// empty.
std::vector<std::string> verdict(const Analysis& analysis);

/// What one comparison says: the finding, and the numbers behind it ("" when there are none yet).
struct Finding {
  std::string headline, details;
};
Finding finding(const Analysis& analysis, const Comparison& comparison);

/// How many comparisons were made and which shifts stand after Holm's correction; "" for fewer than two.
std::string number_of_comparisons(const Analysis& analysis);

/// "0.1–0.3 [0.08, 0.4]": [A, B] and its interval; "≥ 1" (some seeds are never unstable), "≤ 0.01" or
/// "unknown".
std::string boundary_text(const Boundary& boundary);

}  // namespace evenkeel::analysis
