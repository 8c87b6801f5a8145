#include "evenkeel/base/processor.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

namespace evenkeel {
namespace {

/// What follows "key : " in the first processor's part of /proc/cpuinfo; "" where there is none.
std::string cpuinfo(std::string_view key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (line.rfind(key, 0) == 0 && colon != std::string::npos)
      return line.substr(std::min(colon + 2, line.size()));
  }
  return "";
}

}  // namespace

std::string processor_name() {
  const std::string name = cpuinfo("model name");
  return name.empty() ? "unknown" : name;
}

std::vector<std::string> processor_flags() {
  std::istringstream words(cpuinfo("flags"));
  std::vector<std::string> flags;
  for (std::string word; words >> word;) flags.push_back(word);
  return flags;
}

}  // namespace evenkeel
