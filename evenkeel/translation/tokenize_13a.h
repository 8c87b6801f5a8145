// The tokenisation "13a" of NIST's mteval-v13a, as sacrebleu does it (Post 2018, arXiv 1804.08771): markup
// undone, ASCII punctuation cut off, but full stops and commas between digits, and hyphens not after a digit,
// left inside their word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::translation {

/// The words of a UTF-8 line; none holds white space.
std::vector<std::u32string> tokenize_13a(std::string_view line);

/// Whether Python's str.split() cuts at this character (Unicode white space and U+001C to U+001F).
bool is_space(char32_t c);

}  // namespace evenkeel::translation
