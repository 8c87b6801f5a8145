#include "evenkeel/runs/records.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Records, LineEndsInTheCrcOfItsTextWithoutThatKey) {
  const std::string line = encode_record({{"step", 3}, {"loss/train/ce", 2.5}});
  EXPECT_EQ(line, R"({"loss/train/ce":2.5,"nonfinite":"","step":3,"crc":")" +
                      hex32(crc32c(R"({"loss/train/ce":2.5,"nonfinite":"","step":3})")) + "\"}");
  EXPECT_EQ(decode_record(line), (Json{{"step", 3}, {"loss/train/ce", 2.5}}));
  EXPECT_EQ(decode_record(encode_record(Json::object())), Json::object());
}

TEST(Records, EveryFlippedBitAndEveryCutIsSeen) {
  const std::string line = encode_record({{"step", 12}, {"kind", "spike"}, {"loss", 7.25}});
  for (std::size_t i = 0; i < line.size(); ++i) {
    EXPECT_FALSE(decode_record(line.substr(0, i))) << "cut at " << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = line;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_FALSE(decode_record(damaged)) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(Records, NonFiniteValuesKeepTheirNames) {
  const auto record = decode_record(encode_record({{"step", 1}, {"a", kNan}, {"b", {1.0, kInf, -kInf}}}));
  ASSERT_TRUE(record);
  EXPECT_FALSE(record->contains("nonfinite"));
  EXPECT_EQ(record->at("b"), (Json{1.0, kInf, -kInf}));
  const Series a = scalar_series({*record}, "a");
  ASSERT_EQ(a.values.size(), 1u);
  EXPECT_TRUE(std::isnan(a.values[0]));
  const HeadSeries b = head_series({*record}, "b");
  EXPECT_EQ(b.values.at(0), (std::vector<double>{1.0, kInf, -kInf}));
}

TEST(Records, ALineThatNamesWhatItDoesNotHoldIsInvalid) {
  const std::string body = R"({"a":1.5,"nonfinite":"b=nan"})";
  EXPECT_FALSE(decode_record(body.substr(0, body.size() - 1) + ",\"crc\":\"" + hex32(crc32c(body)) + "\"}"));
}

TEST(Records, LinesOfEarlierVersionsAreRead) {
  // As evenkeel wrote them before non-finite numbers became null and "nonfinite".
  const test::TempFolder folder;
  write_file(folder / "metrics.jsonl",
             "{\"loss/train/ce\":2.5,\"step\":6,\"crc\":\"94183664\"}\n"
             "{\"grad/all/norm\":\"inf\",\"heads\":[1.0,\"-inf\"],\"loss/train/ce\":\"nan\",\"step\":7,"
             "\"crc\":\"6637f96f\"}\n");
  const auto records = read_records(folder / "metrics.jsonl");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0], (Json{{"step", 6}, {"loss/train/ce", 2.5}}));
  EXPECT_EQ(records[1].at("grad/all/norm"), kInf);
  EXPECT_EQ(records[1].at("heads"), (Json{1.0, -kInf}));
  EXPECT_TRUE(std::isnan(scalar_series(records, "loss/train/ce").values.at(1)));
}

TEST(Records, DoublesRoundTripExactly) {
  for (const double x : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.123456789}) {
    const auto record = decode_record(encode_record({{"step", 0}, {"x", x}}));
    const double back = record->at("x").get<double>();
    EXPECT_EQ(std::signbit(back), std::signbit(x));
    EXPECT_EQ(back, x);
  }
}

TEST(Records, ReadingPassesOverInvalidLines) {
  const test::TempFolder folder;
  const fs::path file = folder / "metrics.jsonl";
  const std::string one = encode_record({{"step", 1}}) + "\n", two = encode_record({{"step", 2}}) + "\n";
  write_file(file, one + two + two.substr(0, 9));
  std::uint64_t valid = 0;
  EXPECT_EQ(read_records(file, &valid).size(), 2u);
  EXPECT_EQ(valid, one.size() + two.size());
  write_file(file, one + "garbage\n" + two);
  EXPECT_EQ(read_records(file, &valid), (std::vector<Json>{{{"step", 1}}, {{"step", 2}}}));
  EXPECT_EQ(valid, one.size());
  write_file(file, one + two.substr(0, two.size() - 1));  // whole but for its newline: may still be torn
  EXPECT_EQ(read_records(file, &valid).size(), 1u);
  EXPECT_TRUE(read_records(folder / "absent.jsonl", &valid).empty());
  EXPECT_EQ(valid, 0u);
}

TEST(Records, SeriesPassOverRecordsWithoutTheKey) {
  const std::vector<Json> records{
      {{"step", 0}, {"v", 6.0}}, {{"step", 1}}, {{"step", 2}, {"v", 5.0}, {"h", {1, 2}}}};
  const Series v = scalar_series(records, "v");
  EXPECT_EQ(v.steps, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(v.values, (std::vector<double>{6.0, 5.0}));
  EXPECT_TRUE(scalar_series(records, "h").steps.empty());
  EXPECT_EQ(head_series(records, "h").steps, (std::vector<std::int64_t>{2}));
}

TEST(Records, WhatIsReadCanBeWrittenAgain) {
  for (const std::string body :
       {R"({"a[0":"inf","step":1})", R"({"a b":["nan"],"step":1})", R"({"a=":"-inf","b":"nan"})"}) {
    std::string line = body;
    line.back() = ',';
    const auto record = decode_record(line + "\"crc\":\"" + hex32(crc32c(body)) + "\"}");
    ASSERT_TRUE(record) << body;
    EXPECT_NO_THROW(encode_record(*record)) << body;
  }
}

TEST(Records, StepsAreWholeNumbers) {
  for (const char* text : {R"({"step": "x", "v": 1, "h": [1]})", R"({"step": 1e300, "v": 1, "h": [1]})",
                           R"({"step": 18446744073709551615, "v": 1, "h": [1]})"}) {
    const std::vector<Json> records{Json::parse(text)};
    EXPECT_THROW(scalar_series(records, "v"), InputError) << text;
    EXPECT_THROW(head_series(records, "h"), InputError) << text;
  }
}

TEST(FindRuns, InOrderOfPathAndAtTheFolderItself) {
  const test::TempFolder folder;
  for (const char* name : {"b", "cells/a", "cells/c/checkpoints/step00000001"}) {
    make_folder(folder / name);
  }
  for (const char* run : {"b", "cells/a", "cells/c"}) write_file(folder / run / "manifest.json", "{}");
  const auto runs = find_runs(folder.path());
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0], folder / "b");
  EXPECT_EQ(runs[1], folder / "cells/a");
  EXPECT_EQ(runs[2], folder / "cells/c");
  EXPECT_EQ(find_runs(folder / "b"), (std::vector<fs::path>{folder / "b"}));
  EXPECT_THROW(find_runs(folder / "cells/c/checkpoints"), InputError);
  EXPECT_THROW(find_runs(folder / "absent"), InputError);
}

}  // namespace
}  // namespace evenkeel::runs
