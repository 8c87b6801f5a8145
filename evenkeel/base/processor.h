// What machine this is, for the record of a run.
#pragma once

#include <string>

namespace evenkeel {

/// "model name" of the first processor in /proc/cpuinfo; "unknown" where there is none.
std::string processor_name();

}  // namespace evenkeel
