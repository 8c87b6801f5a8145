#include <gtest/gtest.h>

#include "evenkeel/data/source.h"
#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::data {
namespace {

class JsonlTest : public testing::Test {
 protected:
  std::unique_ptr<WindowSource> open(const std::string& content, std::int64_t context,
                                     const std::string& field = "text") {
    DataSpec spec;
    spec.path = scratch_.write("a.jsonl", content);
    spec.text_field = field;
    spec.valid_fraction = 0.5;
    return open_windows(spec, context);
  }
  std::string error_of(const std::string& content, const std::string& field = "text") {
    return input_error([&] { open(content, 2, field); });
  }
  ScratchFolder scratch_;
};

TEST_F(JsonlTest, DocumentsArePackedWithAnEndAfterEach) {
  // Stream: h i END a b c END é(2 bytes) END d e f END = 14 ids; validation takes the last 7.
  const auto source = open(
      "{\"text\": \"hi\"}\n\n{\"text\": \"abc\", \"id\": 3}\r\n{\"text\": \"\\u00e9\"}\n{\"text\":\"def\"}",
      2);
  EXPECT_EQ(source->vocab(), 257);
  EXPECT_EQ(source->facts().train_tokens, 7);
  EXPECT_EQ(source->facts().valid_tokens, 7);
  std::vector<std::int32_t> tokens(3);
  const std::vector<std::vector<std::int32_t>> train{{'h', 'i', 256}, {256, 'a', 'b'}, {'b', 'c', 256}};
  ASSERT_EQ(source->windows(Split::kTrain), 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    source->read(Split::kTrain, i, tokens);
    EXPECT_EQ(tokens, train[static_cast<std::size_t>(i)]);
  }
  const std::vector<std::vector<std::int32_t>> valid{{0xc3, 0xa9, 256}, {256, 'd', 'e'}, {'e', 'f', 256}};
  for (std::int64_t i = 0; i < 3; ++i) {
    source->read(Split::kValid, i, tokens);
    EXPECT_EQ(tokens, valid[static_cast<std::size_t>(i)]);
  }
}

TEST_F(JsonlTest, AnotherField) {
  EXPECT_EQ(open("{\"body\": \"abcdefgh\", \"text\": 1}\n", 2, "body")->facts().train_tokens, 4);
}

TEST_F(JsonlTest, BrokenLinesNameLineAndByte) {
  const std::string good = "{\"text\": \"abcdef\"}\n";  // 19 bytes
  expect_all_in(error_of(good + "{\"text\": \"abc}\n"),
                {"a.jsonl:2, byte 33", "no JSON object", "mend or remove"});
  expect_all_in(error_of(good + good + "oops\n"), {"a.jsonl:3, byte 38"});
  expect_all_in(error_of(good + "[1, 2]\n"), {"a.jsonl:2, byte 19", "expected a JSON object"});
  expect_all_in(error_of(good + "{\"txt\": \"x\", \"title\": \"y\", \"n\": 1}\n"),
                {"a.jsonl:2", "no text in field \"text\"", "data.text_field", "title, txt"});
  expect_all_in(error_of(good + "{\"text\": 3}\n"), {"no text in field \"text\"", "none"});
  expect_all_in(error_of(good + "{\"text\": \"\xff\"}\n"), {"a.jsonl:2, byte 29"});
  expect_all_in(error_of("\n \n"), {"too short"});
}

}  // namespace
}  // namespace evenkeel::data
