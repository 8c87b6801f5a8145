#include "evenkeel/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/moments.h"
#include "tests/support/temp_folder.h"

namespace evenkeel {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Json, NonFiniteNumbersAreNullAndNamed) {
  EXPECT_EQ(json_text({{"step", 7}, {"loss/train/ce", kNan}, {"grad/norm", 12.5}}),
            R"({"grad/norm":12.5,"loss/train/ce":null,"nonfinite":"loss/train/ce=nan","step":7})");
  EXPECT_EQ(json_text({{"b", -kInf}, {"a", {1.0, kInf, kNan}}, {"c", nullptr}}),
            R"({"a":[1.0,null,null],"b":null,"c":null,"nonfinite":"a[1]=inf a[2]=nan b=-inf"})");
}

TEST(Json, DocumentsWithoutNonFiniteNumbersHaveNoSuchKey) {
  EXPECT_EQ(json_text({{"a", 1.5}, {"b", nullptr}}), R"({"a":1.5,"b":null})");
}

TEST(Json, TheNearestObjectHoldsTheNumber) {
  const Json document{{"x", {{{"y", kNan}, {"z", {{1.0, kNan}, {-kInf}}}}, kInf}}, {"w", {{"v", 2.0}}}};
  const std::string text = json_text(document);
  EXPECT_EQ(text,
            R"({"nonfinite":"x[1]=inf","w":{"v":2.0},)"
            R"("x":[{"nonfinite":"y=nan z[0][1]=nan z[1][0]=-inf","y":null,"z":[[1.0,null],[null]]},null]})");
  EXPECT_EQ(json_text(parse_json(text, "x")), text);
  const Json back = parse_json(text, "x");
  EXPECT_TRUE(std::isnan(back["x"][0]["y"].get<double>()));
  EXPECT_EQ(back["x"][0]["z"][1][0], -kInf);
  EXPECT_EQ(back["x"][1], kInf);
  EXPECT_FALSE(back.contains("nonfinite") || back["x"][0].contains("nonfinite"));
}

TEST(Json, NumbersThatNoObjectHoldsAreWords) {
  EXPECT_EQ(json_text(kNan), "\"nan\"");
  EXPECT_EQ(json_text({1.0, -kInf}), "[1.0,\"-inf\"]");
  EXPECT_EQ(json_text(Json::array({{{"a", kNan}}})), R"([{"a":null,"nonfinite":"a=nan"}])");
}

TEST(Json, NullWithoutAnEntryStaysNull) {
  const Json back = parse_json(R"({"a":null,"b":[null,null],"nonfinite":"b[1]=inf"})", "x");
  EXPECT_EQ(back, (Json{{"a", nullptr}, {"b", {nullptr, kInf}}}));
}

TEST(Json, ANameThatFitsNothingIsAnInputError) {
  for (const char* items : {"b=nan", "a=infinity", "a", "=nan", "a[0]=nan", "c=nan", "d[2]=nan", "d[x]=nan",
                            "d[0=nan", "d[0]x=nan", "d=inf", "e=nan"}) {
    const std::string text =
        R"({"a":null,"c":1,"d":[null,null],"e":"nan","nonfinite":")" + std::string(items) + "\"}";
    EXPECT_THROW(parse_json(text, "m.json"), InputError) << text;
  }
}

TEST(Json, TheKeyIsNobodyElses) {
  EXPECT_THROW(name_nonfinite({{"a", kNan}, {"nonfinite", 3}}), std::logic_error);
  EXPECT_THROW(name_nonfinite({{"a", 1}, {"nonfinite", ""}}), std::logic_error);
  for (const char* key : {"a b", "a=b", "a[0]"}) {
    EXPECT_THROW(name_nonfinite({{key, kNan}}), std::logic_error) << key;
    EXPECT_NO_THROW(name_nonfinite({{key, 1.0}})) << key;
  }
  // A foreign document may count something under that name.
  EXPECT_EQ(parse_json(R"({"nonfinite":3})", "x"), (Json{{"nonfinite", 3}}));
}

TEST(Json, FilesRoundTripEveryNumber) {
  const test::TempFolder folder;
  write_json(folder / "x.json", {{"a", {{"b", kNan}}}, {"c", 0.1}});
  EXPECT_EQ(read_file(folder / "x.json"),
            "{\n  \"a\": {\n    \"b\": null,\n    \"nonfinite\": \"b=nan\"\n  },\n  \"c\": 0.1\n}\n");
  EXPECT_TRUE(std::isnan(read_json(folder / "x.json")["a"]["b"].get<double>()));
}

TEST(Json, NumbersOfEarlierVersionsAreWords) {
  EXPECT_TRUE(std::isnan(number_from_json("nan", "x")));
  EXPECT_EQ(number_from_json("inf", "x"), kInf);
  EXPECT_EQ(number_from_json("-inf", "x"), -kInf);
  EXPECT_EQ(number_from_json(-kInf, "x"), -kInf);
  EXPECT_EQ(number_from_json(Json(3), "x"), 3.0);
  for (const Json& value : {Json(nullptr), Json("infinity"), Json(true), Json::array()}) {
    EXPECT_THROW(number_from_json(value, "loss"), InputError) << value;
  }
}

TEST(Json, ParseErrorsNameFileAndByte) {
  try {
    parse_json("{\"a\": 1,}", "m.json");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("m.json is not valid JSON (byte 9)"), std::string::npos) << e.what();
  }
  EXPECT_THROW(parse_json("", "m.json"), InputError);
  EXPECT_THROW(parse_json("{\"a\": NaN}", "m.json"), InputError);
}

TEST(Json, NumbersThatDoNotFitAndDeepNestingAreRefusedCleanly) {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      parse_json(text, "m.json");
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(
      error_of(R"({"a": [1, -1e999]})").find("m.json holds a number that is too large, -1e999 (byte 11)"),
      std::string::npos)
      << error_of(R"({"a": [1, -1e999]})");
  EXPECT_LT(error_of(std::string(400, '9')).size(), 250u);
  const auto nested = [](std::size_t n) { return std::string(n, '[') + R"("]\"[")" + std::string(n, ']'); };
  EXPECT_EQ(error_of(nested(kDeepestJson)), "no error");
  EXPECT_NE(error_of(nested(kDeepestJson + 1)).find("nests more than 100 levels deep (byte 101)"),
            std::string::npos);
  EXPECT_EQ(error_of("[" + nested(kDeepestJson - 1) + "," + nested(kDeepestJson - 1) + "]"), "no error");
  for (const std::string& text : {std::string("1e999"), std::string(200000, '['), std::string("{")})
    EXPECT_TRUE(try_parse_json(text).is_discarded()) << text.substr(0, 9);
}

TEST(Json, KeysThatCannotBeNamedAreNotRestored) {
  // Else the document could be read and not written.
  EXPECT_THROW(parse_json(R"({"a=b": null, "nonfinite": "a=b=nan"})", "m.json"), InputError);
}

TEST(Json, WholeNumbersDoNotWrap) {
  const auto whole = [](const char* text) { return integer_from_json(parse_json(text, "x"), "x"); };
  EXPECT_EQ(whole("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(whole("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  for (const char* text : {"9223372036854775808", "18446744073709551615", "1e300", "3.0", "\"3\"", "null"})
    EXPECT_THROW(whole(text), InputError) << text;
}

TEST(Json, FilesHaveSortedKeysAndAFinalNewline) {
  const test::TempFolder folder;
  write_json(folder / "x.json", {{"b", 0.1}, {"a", {1, 2}}});
  EXPECT_EQ(read_file(folder / "x.json"), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": 0.1\n}\n");
  EXPECT_EQ(read_json(folder / "x.json").at("b"), 0.1);
  EXPECT_THROW(read_json(folder / "absent.json"), EnvironmentError);
}

TEST(Moments, MergedPartsEqualTheWhole) {
  const std::vector<double> values{3, -1, 4, 1, -5, 9, 2, 6, kNan};
  Moments whole, a, b;
  for (std::size_t i = 0; i < values.size(); ++i) {
    whole.add(values[i]);
    (i < 3 ? a : b).add(values[i]);
  }
  a.merge(b);
  EXPECT_EQ(a.count, 8);
  EXPECT_EQ(a.non_finite, 1);
  EXPECT_EQ(a.abs_max, 9);
  // 19 / 8 and 173 / 8 - (19 / 8)^2, exact to a few ulp.
  EXPECT_NEAR(a.mean, 2.375, 1e-14);
  EXPECT_NEAR(a.variance(), 21.625 - 5.640625, 1e-13);
  EXPECT_NEAR(whole.variance(), a.variance(), 1e-13);
  EXPECT_TRUE(std::isnan(a.rms()));
  EXPECT_EQ(Moments{}.rms(), 0);
}

TEST(Json, TextThatIsNotUtf8IsShownReplacedAndNeverWritten) {
  EXPECT_EQ(json_text(Json("caf\xe9")), "\"caf\xef\xbf\xbd\"");
  test::TempFolder folder;
  EXPECT_THROW(write_json(folder / "x.json", Json("caf\xe9")), InputError);
  EXPECT_FALSE(std::filesystem::exists(folder / "x.json"));
}

}  // namespace
}  // namespace evenkeel
