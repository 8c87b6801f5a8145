// Standard output and standard error of `evenkeel`. An answer that cannot be written is an error; what people
// are told beside it is not worth a run: on a full disk, or with nobody there to read, it is lost.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

/// Writes an answer on standard output. Throws EnvironmentError when that cannot be done; a reader that has
/// gone away ends the process by SIGPIPE, as check_written() does.
void write_out(std::string_view text);
/// Writes on standard error. Never fails.
void write_err(std::string_view text) noexcept;

template <typename... Values>
void print_out(fmt::format_string<Values...> format, Values&&... values) {
  write_out(fmt::vformat(format, fmt::make_format_args(values...)));
}
template <typename... Values>
void print_err(fmt::format_string<Values...> format, Values&&... values) {
  write_err(fmt::vformat(format, fmt::make_format_args(values...)));
}

/// Tells what a command could not read of the runs it looked at; of many sentences the first.
void tell_damage(const std::vector<std::string>& sentences);

}  // namespace evenkeel::cli
