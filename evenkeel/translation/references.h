// What every score asks of its references.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace evenkeel::translation {

/// The references of line i that are not empty. Throws InputError when there is none.
std::vector<std::string> references_of_line(std::span<const std::vector<std::string>> references,
                                            std::size_t i);

/// Throws InputError unless every list of references has `lines` of them, and there is a list.
void check_references(std::size_t lines, std::span<const std::vector<std::string>> references);

}  // namespace evenkeel::translation
