// UTF-8 (RFC 3629: shortest forms only, no surrogates, up to U+10FFFF): checked, and taken apart.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel {

/// Bytes of the well-formed character at the start of `text`; 0 when there is none.
std::size_t utf8_length(std::string_view text);

/// Offset of the first byte that does not belong to a well-formed character; npos when all do.
std::size_t first_invalid_utf8(std::string_view text);

/// The characters of well-formed text; a byte that belongs to none becomes U+FFFD.
std::u32string code_points(std::string_view text);

}  // namespace evenkeel
