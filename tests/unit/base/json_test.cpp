#include "evenkeel/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/moments.h"
#include "tests/support/temp_folder.h"

namespace evenkeel {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Json, NonFiniteNumbersRoundTripAsWords) {
  EXPECT_EQ(json_number(kNan).dump(), "\"nan\"");
  EXPECT_EQ(json_number(kInf).dump(), "\"inf\"");
  EXPECT_EQ(json_number(-kInf).dump(), "\"-inf\"");
  EXPECT_TRUE(std::isnan(number_from_json(json_number(kNan), "x")));
  EXPECT_EQ(number_from_json(json_number(kInf), "x"), kInf);
  EXPECT_EQ(number_from_json(json_number(-kInf), "x"), -kInf);
  EXPECT_EQ(number_from_json(json_number(0.1), "x"), 0.1);
  EXPECT_EQ(number_from_json(Json(3), "x"), 3.0);
}

TEST(Json, NullIsNotANumber) {
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
