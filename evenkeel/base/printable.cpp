#include "evenkeel/base/printable.h"

#include <fmt/format.h>

#include "evenkeel/base/utf8.h"

namespace evenkeel {
namespace {

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// Marks, embeddings, overrides and isolates of bidirectional text, and the separators of lines.
bool turns_writing(char32_t c) {
  return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

std::string escaped(char32_t c) {
  if (c == U'\n') return "\\n";
  if (c == U'\t') return "\\t";
  if (c == U'\r') return "\\r";
  const auto code = static_cast<unsigned>(c);
  return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
}

}  // namespace

std::string printable(std::string_view text, std::string_view keep) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    const std::string_view character = text.substr(at, length == 0 ? 1 : length);
    at += character.size();
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(character[0]));
      continue;
    }
    const char32_t c = code_points(character)[0];
    const bool kept = length == 1 && keep.find(character[0]) != std::string_view::npos;
    if (!kept && (is_control(c) || turns_writing(c))) out += escaped(c);
    else out += character;
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  std::size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return fmt::format("{}... ({} bytes in all)", text.substr(0, end), text.size());
}

}  // namespace evenkeel
