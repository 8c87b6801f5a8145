// What probes of residual sub-layers said (docs/formats/probe.md), reduced to what the report draws.
#pragma once

#include <filesystem>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel::report {

namespace fs = std::filesystem;

/// The answers in `files`, each what `evenkeel probe dependency`, `output-change` or `gradients --json`
/// printed: one list of objects with run, step, config_hash and what the probe says of each stack. Throws
/// InputError for a file that holds anything else.
Json read_probe_answers(const std::vector<fs::path>& files);

}  // namespace evenkeel::report
