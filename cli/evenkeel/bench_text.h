// The answer of `evenkeel bench` for people: tables under 80 columns.
#pragma once

#include <string>

#include "cli/evenkeel/terminal.h"
#include "evenkeel/base/json.h"

namespace evenkeel::cli {

/// `answer` as docs/formats/bench.md describes it.
std::string bench_text(const Json& answer, const Style& style);

}  // namespace evenkeel::cli
