// The measured side of `evenkeel bench`: a process that makes training steps when asked and says how long
// they took. It speaks docs/formats/bench.md, as every peer does: one JSON object per line in and out.
#pragma once

#include <iosfwd>

namespace evenkeel::train {

/// Answers requests until `in` ends. The first one opens an experiment; a request that cannot be answered is
/// answered {"error": sentence}.
void serve_bench(std::istream& in, std::ostream& out);

}  // namespace evenkeel::train
