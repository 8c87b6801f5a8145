// `evenkeel-train translate`: answers requests of `evenkeel translate` and `evenkeel evaluate`, one JSON
// object a line: {"sources": [[ids with their end], ...]} is answered by {"targets": [[ids without their
// end], ...]}. The first answer, before any request, is {"step": N, "warnings": [...]}.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>

#include "evenkeel/models/beam_search.h"

namespace evenkeel::cli {

struct TranslateArguments {
  std::string run;
  std::int64_t step = -1;  ///< -1: the newest
  std::int64_t average = 1, threads = 1;
  models::BeamSearch search;
};

void add_translate(CLI::App& command, TranslateArguments& arguments);

int translate(const TranslateArguments& arguments, std::istream& in, std::ostream& out);

}  // namespace evenkeel::cli
