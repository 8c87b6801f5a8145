#include "evenkeel/base/utf8.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(first_invalid_utf8("plain"), std::string_view::npos);
  EXPECT_EQ(first_invalid_utf8("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2"), std::string_view::npos);
  EXPECT_EQ(first_invalid_utf8("ab\xff"), 2u);
  EXPECT_EQ(first_invalid_utf8("ab\xc3"), 2u);            // cut off
  EXPECT_EQ(first_invalid_utf8("\xc0\xaf"), 0u);          // longer than needed
  EXPECT_EQ(first_invalid_utf8("\xe0\x80\xaf"), 0u);      // longer than needed
  EXPECT_EQ(first_invalid_utf8("x\xed\xa0\x80"), 1u);     // surrogate
  EXPECT_EQ(first_invalid_utf8("\xf4\x90\x80\x80"), 0u);  // beyond U+10FFFF
}

TEST(Utf8, TakesTextApartIntoCharacters) {
  EXPECT_EQ(code_points(""), U"");
  EXPECT_EQ(code_points("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2z"), U"a\u00e9\u20ac\U0001f6a2z");
  EXPECT_EQ(code_points("x\xff\xc3"), U"x\ufffd\ufffd");
}

}  // namespace
}  // namespace evenkeel
