// Text files as lines, plain or compressed with gzip.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel {

/// The lines of a UTF-8 file without their ends (\n or \r\n); a gzip file is told by its first bytes. Errors
/// are tagged with `tag`, such as "HYP". Throws InputError, naming file and byte or line, when there is no
/// such file, when compression is damaged, it unpacks to more than 200 times its size, or text is not UTF-8;
/// EnvironmentError when it cannot be read.
std::vector<std::string> read_lines(const std::filesystem::path& file, const char* tag);

}  // namespace evenkeel
