#include "evenkeel/runs/csv.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"

namespace evenkeel::runs {
namespace {

using Cells = std::vector<std::string>;

std::string error_of(std::string_view text) {
  try {
    parse_csv(text, "t.csv");
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Csv, NulBytesAndALastLineWithoutEnd) {
  EXPECT_NE(error_of(std::string_view("a,b\n1,\"x\0y\"\n", 12)).find("t.csv:2: a NUL byte"),
            std::string::npos);
  EXPECT_TRUE(parse_csv("a\n1\n", "t.csv").whole);
  EXPECT_FALSE(parse_csv("a\n1", "t.csv").whole);
}

TEST(Csv, QuotesLineEndsAndBlankLines) {
  const CsvTable t = parse_csv(
      "\xEF\xBB\xBF"
      "a,b c,\"d\"\"e\"\r\n1,\"x,y\",\"two\nlines\"\r\n\r\n ,,3",
      "t.csv");
  EXPECT_EQ(t.header, (Cells{"a", "b c", "d\"e"}));
  ASSERT_EQ(t.rows.size(), 2u);
  EXPECT_EQ(t.rows[0].cells, (Cells{"1", "x,y", "two\nlines"}));
  EXPECT_EQ(t.rows[0].line, 2);
  EXPECT_EQ(t.rows[1].cells, (Cells{" ", "", "3"}));
  EXPECT_EQ(t.rows[1].line, 5);  // the quoted field took line 3, line 4 is blank
}

TEST(Csv, EmptyLastField) {
  const CsvTable t = parse_csv("a,b\n1,\n\"\",\"\"\n", "t.csv");
  EXPECT_EQ(t.rows.at(0).cells, (Cells{"1", ""}));
  EXPECT_EQ(t.rows.at(1).cells, (Cells{"", ""}));
}

TEST(Csv, ErrorsNameTheLine) {
  EXPECT_NE(error_of("a,b\n1,2\n3\n").find("t.csv:3: 1 fields, but the header has 2"), std::string::npos);
  EXPECT_NE(error_of("a,b\n1,2\n3,4,5\n").find("t.csv:3: 3 fields"), std::string::npos);
  EXPECT_NE(error_of("a,b\n1,\"x\n").find("t.csv:2: a quote is opened here"), std::string::npos);
  EXPECT_NE(error_of("a,b\n1,x\"y\n").find("t.csv:2: a quote inside an unquoted field"), std::string::npos);
  EXPECT_NE(error_of("a,b\n\"1\"2,3\n").find("t.csv:2: text after a closing quote"), std::string::npos);
  EXPECT_NE(error_of("a,a\n1,2\n").find("t.csv:1: the header names column \"a\" twice"), std::string::npos);
  EXPECT_NE(error_of("a,\n1,2\n").find("t.csv:1: column 2 of the header has no name"), std::string::npos);
  EXPECT_NE(error_of(std::string_view("a,b\n1,\0\n", 8)).find("t.csv:2: a NUL byte"), std::string::npos);
  EXPECT_NE(error_of("").find("t.csv is empty"), std::string::npos);
  EXPECT_NE(error_of("\n\n").find("t.csv is empty"), std::string::npos);
  EXPECT_NE(error_of("a,b\n").find("t.csv has a header and no rows"), std::string::npos);
}

}  // namespace
}  // namespace evenkeel::runs
