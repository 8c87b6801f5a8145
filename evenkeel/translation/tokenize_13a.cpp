#include "evenkeel/translation/tokenize_13a.h"

#include "evenkeel/base/utf8.h"

namespace evenkeel::translation {
namespace {

bool is_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}

bool is_stop(char32_t c) {
  return c == U'.' || c == U',';
}

// [{-~ [-` space-& (-+ :-@ /]: ASCII punctuation but ' , - .
bool is_separate(char32_t c) {
  const auto in = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
  return in(U'{', U'~') || in(U'[', U'`') || in(U' ', U'&') || in(U'(', U'+') || in(U':', U'@') || c == U'/';
}

void replace_all(std::u32string& text, std::u32string_view what, std::u32string_view with) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

// A hyphen before a line end glues, as in text of fixed width.
void undo_markup(std::u32string& text) {
  while (!text.empty() && is_space(text.back())) text.pop_back();
  using Pair = std::pair<std::u32string_view, std::u32string_view>;
  for (const auto& [what, with] :
       {Pair{U"<skipped>", U""}, Pair{U"-\n", U""}, Pair{U"\n", U" "}, Pair{U"&quot;", U"\""},
        Pair{U"&amp;", U"&"}, Pair{U"&lt;", U"<"}, Pair{U"&gt;", U">"}})
    replace_all(text, what, with);
}

// Replaces every two neighbours that `matches` by rule(a, b), from the left, none used twice.
template <class Matches, class Rule>
std::u32string rewrite_pairs(const std::u32string& text, Matches matches, Rule rule) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    if (i + 1 < text.size() && matches(text[i], text[i + 1])) {
      out += rule(text[i], text[i + 1]);
      i += 2;
    } else {
      out += text[i++];
    }
  }
  return out;
}

std::vector<std::u32string> split(const std::u32string& text) {
  std::vector<std::u32string> words;
  bool inside = false;
  for (const char32_t c : text) {
    const bool space = is_space(c);
    if (!space && !inside) words.emplace_back();
    if (!space) words.back() += c;
    inside = !space;
  }
  return words;
}

}  // namespace

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

std::vector<std::u32string> tokenize_13a(std::string_view line) {
  std::u32string text = code_points(line), cut = U" ";
  undo_markup(text);
  for (const char32_t c : text) cut += is_separate(c) ? std::u32string{U' ', c, U' '} : std::u32string{c};
  cut += U' ';
  const auto with_second_apart = [](char32_t a, char32_t b) { return std::u32string{a, U' ', b, U' '}; };
  cut = rewrite_pairs(
      cut, [](char32_t a, char32_t b) { return !is_digit(a) && is_stop(b); }, with_second_apart);
  cut = rewrite_pairs(
      cut, [](char32_t a, char32_t b) { return is_stop(a) && !is_digit(b); },
      [](char32_t a, char32_t b) {
        return std::u32string{U' ', a, U' ', b};
      });
  cut = rewrite_pairs(
      cut, [](char32_t a, char32_t b) { return is_digit(a) && b == U'-'; }, with_second_apart);
  return split(cut);
}

}  // namespace evenkeel::translation
