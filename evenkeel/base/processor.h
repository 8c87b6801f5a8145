// What machine this is, for the record of a run.
#pragma once

#include <string>
#include <vector>

namespace evenkeel {

/// "model name" of the first processor in /proc/cpuinfo; "unknown" where there is none.
std::string processor_name();

/// Its "flags", such as avx2 or amx_bf16; empty where there are none.
std::vector<std::string> processor_flags();

}  // namespace evenkeel
