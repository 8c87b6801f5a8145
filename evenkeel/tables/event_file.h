// Records of TensorBoard's event files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::tables {

/// The first record of a file. `wall_time`: seconds since 1970.
std::string event_file_header(double wall_time);

/// A scalar, as simple_value.
std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value);

}  // namespace evenkeel::tables
