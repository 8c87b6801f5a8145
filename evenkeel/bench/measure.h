// What `evenkeel bench` measures of one config, each as the JSON object that docs/formats/bench.md describes.
//
// Every contestant is a process of its own; its start-up is in none of the times but first_step's. Those that
// are compared take turns, round by round, so that a slow minute of the machine falls on all of them.
#pragma once

#include <functional>
#include <string>

#include "evenkeel/base/json.h"
#include "evenkeel/bench/config.h"

namespace evenkeel::bench {

/// Gets a line for people whenever something new is being measured.
using Say = std::function<void(const std::string&)>;

/// All that is asked for of one config. When the measured path computes wrong numbers there is nothing but
/// "answers_checked": false, "answers" and "why".
Json measure(const Config& config, const Options& options, const Say& say);

}  // namespace evenkeel::bench
