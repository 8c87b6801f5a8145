// The end of a sweep: table of final losses, verdict in words, report, or one JSON object.
#pragma once

#include "cli/evenkeel/sweep_session.h"

namespace evenkeel::cli {

/// Writes the report when the sweep has ended, prints what came out and returns `exit_code`. Throws
/// EnvironmentError when the report cannot be written.
int tell_outcome(const SweepRequest& request, const sweep::SweepFile& file, const std::string& refusal,
                 int exit_code);

}  // namespace evenkeel::cli
