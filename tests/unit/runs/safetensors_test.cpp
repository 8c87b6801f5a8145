#include "evenkeel/runs/safetensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::runs {
namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string out(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

// A file with this header text and data, its length field right.
std::string file_with(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

// Without the flush to disk of write_file: these tests write thousands of files.
void put(const fs::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

class SafetensorsTest : public ::testing::Test {
 protected:
  // The message of the InputError that reading `content` gives.
  std::string error_of(const std::string& content) {
    put(file_, content);
    try {
      read_safetensors(file_);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }
  void expect_error(const std::string& content, const std::string& part) {
    const std::string message = error_of(content);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("x.safetensors is not a sound safetensors file (byte "), std::string::npos)
        << message;
  }
  test::TempFolder folder_;
  fs::path file_ = folder_ / "x.safetensors";
};

TEST_F(SafetensorsTest, RoundTripsEveryTypeAndShape) {
  const std::string f32 =
      bytes_of<float>({1.5f, -0.0f, std::numeric_limits<float>::quiet_NaN(), 1e-45f, 2, 3});
  const std::string f64 = bytes_of<double>({0.1}), bf16 = bytes_of<std::uint16_t>({0x3f80, 0x7f80, 1});
  const std::string i64 = bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::min(), 7});
  write_safetensors(file_,
                    {{"z", TensorType::kF32, {2, 3}, f32},
                     {"a.scalar", TensorType::kF64, {}, f64},
                     {"m", TensorType::kBf16, {3, 1}, bf16},
                     {"n", TensorType::kI64, {2}, i64},
                     {"none", TensorType::kF32, {0, 5}, ""}},
                    {{"made_by", "evenkeel"}});
  const Safetensors back = read_safetensors(file_);
  ASSERT_EQ(back.tensors.size(), 5u);
  EXPECT_EQ(back.tensors.at("z").data, f32);
  EXPECT_EQ(back.tensors.at("z").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(back.tensors.at("a.scalar").data, f64);
  EXPECT_TRUE(back.tensors.at("a.scalar").shape.empty());
  EXPECT_EQ(back.tensors.at("m").data, bf16);
  EXPECT_EQ(back.tensors.at("m").type, TensorType::kBf16);
  EXPECT_EQ(back.tensors.at("n").data, i64);
  EXPECT_TRUE(back.tensors.at("none").data.empty());
  EXPECT_EQ(back.metadata.at("made_by"), "evenkeel");
}

TEST_F(SafetensorsTest, BytesDoNotDependOnTheOrderGiven) {
  const TensorBytes a{"a", TensorType::kF32, {1}, "aaaa"}, b{"b", TensorType::kF32, {1}, "bbbb"};
  write_safetensors(file_, {a, b});
  const std::string first = read_file(file_);
  write_safetensors(file_, {b, a});
  EXPECT_EQ(read_file(file_), first);
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(first.substr(8 + length), "aaaabbbb");
  EXPECT_EQ(Json::parse(first.substr(8, length)).at("b").at("data_offsets"), (Json{4, 8}));
}

TEST_F(SafetensorsTest, PythonReadsWhatWasWritten) {
  const std::string f32 = bytes_of<float>({1.5f, -2.25f, 0.0f, 3.0f}), i64 = bytes_of<std::int64_t>({-7});
  const std::string bf16 = bytes_of<std::uint16_t>({0x3f80, 0xc000});
  write_safetensors(file_, {{"blocks.0.w", TensorType::kF32, {2, 2}, f32},
                            {"step", TensorType::kI64, {}, i64},
                            {"half", TensorType::kBf16, {2}, bf16}});
  const std::string script = std::string(EVENKEEL_SOURCE_DIR) + "/tests/support/read_safetensors.py";
  const fs::path answer = folder_ / "answer.json";
  const std::string command =
      "/usr/bin/python3 '" + script + "' '" + file_.string() + "' > '" + answer.string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const Json expected = {
      {"blocks.0.w", {{"dtype", "F32"}, {"shape", {2, 2}}, {"values", {1.5, -2.25, 0.0, 3.0}}}},
      {"step", {{"dtype", "I64"}, {"shape", Json::array()}, {"values", {-7}}}},
      {"half", {{"dtype", "BF16"}, {"shape", {2}}, {"values", {1.0, -2.0}}}}};
  EXPECT_EQ(read_json(answer), expected);
}

TEST_F(SafetensorsTest, EmptyFileOfTensorsIsSound) {
  write_safetensors(file_, {});
  EXPECT_TRUE(read_safetensors(file_).tensors.empty());
}

TEST_F(SafetensorsTest, EveryTruncationIsSeen) {
  write_safetensors(file_, {{"w", TensorType::kF32, {2}, "12345678"}});
  const std::string good = read_file(file_);
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_NE(error_of(good.substr(0, n)).find("(byte "), std::string::npos) << n << " bytes kept";
  }
  expect_error(good + "x", "1 bytes follow the last tensor");
}

TEST_F(SafetensorsTest, FlippedHeaderBitsGiveAnErrorOrSoundViews) {
  write_safetensors(file_,
                    {{"w", TensorType::kF32, {2}, "12345678"}, {"x", TensorType::kI64, {1}, "abcdefgh"}});
  const std::string good = read_file(file_);
  for (std::size_t i = 0; i < good.size() - 16; ++i) {
    for (const int bit : {0, 2, 5}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      put(file_, bad);
      try {
        // A flip in a name is another sound file; what it holds must still lie inside.
        for (const auto& [name, tensor] : read_safetensors(file_).tensors) EXPECT_EQ(tensor.data.size(), 8u);
      } catch (const InputError&) {
      }
    }
  }
}

TEST_F(SafetensorsTest, HeadersThatLieAreNamed) {
  const std::string data = "12345678";
  expect_error(std::string(8, '\xff') + "{}", "the header's length is 18446744073709551615");
  expect_error(file_with("{\"w\":", data), "not valid JSON");
  expect_error(file_with("[1]", ""), "no JSON object");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[2]}})", data),
               "must have dtype, shape and data_offsets");
  expect_error(file_with(R"({"w":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})", data), "dtype \"F16\"");
  expect_error(file_with(R"({"w":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", data), "dtype 7");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", data),
               "list of sizes");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", data), "list of sizes");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", data),
               "expected [begin, end]");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", data),
               "expected [begin, end]");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", data), "need 12");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})", data),
               "expected to start at 0");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", data), "end by 8");
  expect_error(file_with(R"({"w":{"dtype":"F64","shape":[4611686018427387904,2],"data_offsets":[0,0]}})", ""),
               "impossible shape");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("v":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                         "123456"),
               "expected to start at 4");
  expect_error(file_with(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                         data),
               "names \"w\" twice");
  expect_error(file_with(R"({"__metadata__":{"a":1}})", ""), "object of strings");
}

TEST_F(SafetensorsTest, MistakesOfTheCallerAreLogicErrors) {
  EXPECT_THROW(write_safetensors(file_, {{"w", TensorType::kF32, {2}, "1234"}}), std::logic_error);
  EXPECT_THROW(write_safetensors(file_, {{"", TensorType::kF32, {1}, "1234"}}), std::logic_error);
  EXPECT_THROW(
      write_safetensors(file_, {{"w", TensorType::kF32, {1}, "1234"}, {"w", TensorType::kF32, {1}, "1234"}}),
      std::logic_error);
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace evenkeel::runs
