#include "evenkeel/base/printable.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(Printable, WritesOutWhatATerminalWouldObey) {
  EXPECT_EQ(printable("plain \\ text \xc3\xa9\xe2\x82\xac"), "plain \\ text \xc3\xa9\xe2\x82\xac");
  EXPECT_EQ(printable("\x1b[2J\a\b\x7f"), "\\x1b[2J\\x07\\x08\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b\n\t\r", 6)), "a\\x00b\\n\\t\\r");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");                              // CSI in one character
  EXPECT_EQ(printable("a\xe2\x80\xae."), "a\\u202e.");  // right to left from here
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("a\nb\tc", "\n"), "a\nb\\tc");
  EXPECT_EQ(printable(printable("\x1b")), printable("\x1b"));
}

TEST(Shortened, KeepsWholeCharactersAndSaysTheLength) {
  EXPECT_EQ(shortened("12345", 5), "12345");
  EXPECT_EQ(shortened("123456", 5), "12345... (6 bytes in all)");
  EXPECT_EQ(shortened("1234\xc3\xa9", 5), "1234... (6 bytes in all)");
}

}  // namespace
}  // namespace evenkeel
