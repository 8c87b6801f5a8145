// Writing a test's files, and asking what an error said.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/base/error.h"
#include "tests/support/temp_folder.h"

namespace evenkeel {

/// A temporary folder that writes files.
class ScratchFolder : public test::TempFolder {
 public:
  std::string path(const std::string& name) const { return (*this / name).string(); }

  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream(*this / name, std::ios::binary) << content;
    return path(name);
  }
};

/// Little-endian bytes of `values`, `width` bytes each.
inline std::string little_endian(const std::vector<std::uint32_t>& values, int width) {
  std::string bytes;
  for (const std::uint32_t value : values)
    for (int k = 0; k < width; ++k) bytes += static_cast<char>(value >> (8 * k) & 0xff);
  return bytes;
}

/// The message of the InputError that `action` throws; a failure and "" when it throws none.
template <class Action>
std::string input_error(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError";
  return "";
}

inline void expect_all_in(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "missing \"" << part << "\" in: " << message;
  }
}

}  // namespace evenkeel
