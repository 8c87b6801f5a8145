#include "evenkeel/translation/references.h"

#include <fmt/format.h>

#include "evenkeel/base/error.h"

namespace evenkeel::translation {

std::vector<std::string> references_of_line(std::span<const std::vector<std::string>> references,
                                            std::size_t i) {
  std::vector<std::string> found;
  for (const std::vector<std::string>& list : references) {
    if (!list[i].empty()) found.push_back(list[i]);
  }
  if (found.empty()) {
    throw InputError(
        fmt::format("[REF] line {} is empty in every reference, so nothing can be compared with it; leave "
                    "the line out of "
                    "hypotheses and references",
                    i + 1));
  }
  return found;
}

void check_references(std::size_t lines, std::span<const std::vector<std::string>> references) {
  if (references.empty()) throw InputError("[REF] no reference is given; give a file of them");
  for (const std::vector<std::string>& list : references) {
    if (list.size() == lines) continue;
    throw InputError(
        fmt::format("[REF] must hold one reference for each of the {} hypotheses, got {}; give files whose "
                    "lines belong together",
                    lines, list.size()));
  }
}

}  // namespace evenkeel::translation
