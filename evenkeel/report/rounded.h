// Numbers as the report's document holds them.
#pragma once

#include "evenkeel/base/json.h"

namespace evenkeel::report {

/// Five digits are more than a chart can show, and keep the file small.
Json rounded(double value);

}  // namespace evenkeel::report
