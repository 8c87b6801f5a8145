// Text of others (names, cells, keys, paths) on its way to a terminal or into a sentence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel {

/// `text` with everything that a terminal would obey or that is not UTF-8 written out: control characters as
/// \n, \t or \x1b, those beyond ASCII and the ones that turn the direction of writing as \u202e, other bytes
/// as \xff. Characters of `keep` stay as they are.
std::string printable(std::string_view text, std::string_view keep = "");

/// `text`, or its first `bytes` and how long it is, so that a sentence that quotes it stays one.
std::string shortened(std::string_view text, std::size_t bytes = 100);

}  // namespace evenkeel
