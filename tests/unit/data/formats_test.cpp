#include <gtest/gtest.h>

#include <fstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/data/source.h"
#include "evenkeel/data/text/formats.h"
#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::data {
namespace {

constexpr std::int64_t kShort = 4;

std::vector<std::int32_t> window(const WindowSource& source, Split split, std::int64_t index) {
  std::vector<std::int32_t> tokens(kShort + 1);
  source.read(split, index, tokens);
  return tokens;
}

std::string llmc(std::uint32_t magic, std::uint32_t version, std::uint32_t count,
                 const std::vector<std::uint32_t>& ids, int width) {
  std::vector<std::uint32_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = count;
  return little_endian(header, 4) + little_endian(ids, width);
}

const std::vector<std::uint32_t> kIds{5, 900, 7, 50256, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

class FormatsTest : public testing::Test {
 protected:
  std::string error_of(const std::string& path, std::optional<DataKind> kind = {}) {
    DataSpec spec;
    spec.kind = kind;
    spec.path = path;
    spec.valid_fraction = 0.4;
    return input_error([&] { open_windows(spec, kShort); });
  }
  std::unique_ptr<WindowSource> open(const std::string& path, DataKind expected) {
    DataSpec spec;
    spec.path.emplace(path);  // GCC 12 takes assigning to nothing for reading it
    spec.valid_fraction = 0.4;
    auto source = open_windows(spec, kShort);
    const DataFacts facts = facts_for_resolve(*source, spec);
    EXPECT_EQ(enum_name(facts.kind), enum_name(expected));
    EXPECT_EQ(facts.vocab, source->vocab());
    EXPECT_EQ(facts.fingerprint, source->fingerprint());
    return source;
  }
  ScratchFolder scratch_;
};

TEST_F(FormatsTest, BytesOfAnyFile) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  const auto source = open(scratch_.write("data.anything", all), DataKind::kBytes);
  EXPECT_EQ(source->vocab(), 256);
  EXPECT_EQ(window(*source, Split::kTrain, 1), (std::vector<std::int32_t>{4, 5, 6, 7, 8}));
  // 256 bytes, the last ceil(0.4 * 256) = 103 for validation.
  EXPECT_EQ(source->facts().train_tokens, 153);
  EXPECT_EQ(source->facts().valid_tokens, 103);
  EXPECT_EQ(window(*source, Split::kValid, 0).front(), 153);
  EXPECT_TRUE(source->facts().occurs[152]);
  EXPECT_FALSE(source->facts().occurs[153]);
}

TEST_F(FormatsTest, FingerprintIsTheContentNotThePath) {
  const auto a = open(scratch_.write("a.txt", "the same sixteen bytes"), DataKind::kBytes);
  const auto b = open(scratch_.write("b.txt", "the same sixteen bytes"), DataKind::kBytes);
  const auto c = open(scratch_.write("c.txt", "the same sixteen byteS"), DataKind::kBytes);
  EXPECT_EQ(a->fingerprint(), b->fingerprint());
  EXPECT_NE(a->fingerprint(), c->fingerprint());
}

TEST_F(FormatsTest, TheNameForPeopleHoldsNoFolders) {
  EXPECT_EQ(last_name("/a/b/c.txt"), "c.txt");
  EXPECT_EQ(last_name("tokens/"), "tokens");
  const auto source = open(scratch_.write("a.txt", "the same sixteen bytes"), DataKind::kBytes);
  EXPECT_EQ(source->facts().name, "a.txt, 22 bytes");
}

TEST_F(FormatsTest, SeparateValidationFile) {
  DataSpec spec;
  spec.path = scratch_.write("train.txt", "abcdefghij");
  spec.valid_path = scratch_.write("valid.txt", "0123456789");
  const auto source = open_windows(spec, kShort);
  EXPECT_EQ(source->facts().train_tokens, 10);
  EXPECT_EQ(window(*source, Split::kValid, 0), (std::vector<std::int32_t>{'0', '1', '2', '3', '4'}));
  spec.valid_path = scratch_.path("missing.txt");
  expect_all_in(input_error([&] { open_windows(spec, kShort); }),
                {"[data.valid_path]", "missing.txt", "no such file"});
}

TEST_F(FormatsTest, LlmcShardsOfBothWidths) {
  for (const auto& [magic, version, width] : {std::tuple{20240520u, 1u, 2}, std::tuple{20240801u, 7u, 4}}) {
    const auto source =
        open(scratch_.write("s.bin", llmc(magic, version, 16, kIds, width)), DataKind::kShard);
    EXPECT_EQ(source->vocab(), 50257);
    EXPECT_EQ(window(*source, Split::kTrain, 0), (std::vector<std::int32_t>{5, 900, 7, 50256, 9}));
    EXPECT_EQ(window(*source, Split::kValid, 0), (std::vector<std::int32_t>{14, 15, 16, 17, 18}));
  }
}

TEST_F(FormatsTest, NanogptIsHeaderless) {
  const auto source = open(scratch_.write("train.bin", little_endian(kIds, 2)), DataKind::kNanogpt);
  EXPECT_EQ(source->vocab(), 50257);
  EXPECT_EQ(window(*source, Split::kTrain, 0), (std::vector<std::int32_t>{5, 900, 7, 50256, 9}));
}

TEST_F(FormatsTest, LargerVocabularyIsKept) {
  DataSpec spec;
  spec.path = scratch_.write("train.bin", little_endian(kIds, 2));
  spec.valid_fraction = 0.4;
  spec.vocab = 50304;
  const auto source = open_windows(spec, kShort);
  EXPECT_EQ(source->vocab(), 50304);
  EXPECT_EQ(source->facts().occurs.size(), 50304u);
}

TEST_F(FormatsTest, SmallerVocabularyThanTheKindHasIsAnError) {
  DataSpec spec;
  spec.vocab = 100;
  expect_all_in(input_error([&] { open_windows(spec, kShort); }), {"[data.vocab] must be >= 128", "got 100"});
  spec.path = scratch_.write("a.txt", std::string(100, 'x'));
  expect_all_in(input_error([&] { open_windows(spec, kShort); }), {"[data.vocab] must be >= 256", "got 100"});
}

TEST_F(FormatsTest, IdBeyondTheVocabularyNamesItsByte) {
  DataSpec spec;
  spec.path = scratch_.write("train.bin", little_endian(kIds, 2));
  spec.valid_fraction = 0.4;
  spec.vocab = 100;
  expect_all_in(input_error([&] { open_windows(spec, kShort); }),
                {"train.bin, byte 2", "token id 900", "vocabulary of 100", "data.vocab"});
  spec.path = scratch_.write(
      "s.bin", llmc(20240801, 7, 16, {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xffffffff, 1, 2, 3, 4, 5}, 4));
  spec.vocab.reset();
  expect_all_in(input_error([&] { open_windows(spec, kShort); }),
                {"s.bin, byte 1064", "token id 4294967295", "corrupt"});
}

TEST_F(FormatsTest, DataReplacedUnderARunAreNotHandedToTheModel) {
  const std::string path = scratch_.write("a.bin", little_endian(kIds, 2));
  DataSpec spec;
  spec.path = path;
  spec.valid_fraction = 0.4;
  const auto source = open_windows(spec, kShort);
  EXPECT_EQ(window(*source, Split::kTrain, 0)[0], 5);
  std::vector<std::uint32_t> others = kIds;
  others[2] = 60000;
  std::ofstream(path, std::ios::binary) << little_endian(others, 2);  // into the same file
  try {
    window(*source, Split::kTrain, 0);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_NE(std::string(e.what()).find("byte 4: the data changed"), std::string::npos) << e.what();
  }
}

TEST_F(FormatsTest, MissingPathAndFolder) {
  expect_all_in(error_of(scratch_.path("nope.txt")),
                {"[data.path]", "nope.txt", "no such file", "check the spelling"});
  expect_all_in(error_of(scratch_.path("nope.bin")), {"nope.bin", "no such file"});
  expect_all_in(error_of(scratch_.write("file", "x") + "/below"), {"no such file"});
  expect_all_in(error_of(scratch_.path("")), {"folder without tokens.json", "evenkeel data tokenize"});
  expect_all_in(error_of("/dev/null"), {"not a regular file"});
}

TEST_F(FormatsTest, EmptyFilesOfEveryKind) {
  for (const char* name : {"e.txt", "e.bin", "e.jsonl"}) {
    expect_all_in(error_of(scratch_.write(name, "")), {name, "empty (0 bytes)"});
  }
  expect_all_in(error_of(scratch_.write("e", ""), DataKind::kShard), {"empty (0 bytes)"});
}

TEST_F(FormatsTest, TooShortForAWindow) {
  expect_all_in(error_of(scratch_.write("s.txt", "123456")),
                {"s.txt", "too short", "3 bytes for training", "arch.context + 1 = 5", "longer file"});
  DataSpec spec;
  spec.path = scratch_.write("s2.txt", std::string(40, 'x'));
  spec.valid_fraction = 0.1;
  expect_all_in(input_error([&] { open_windows(spec, kShort); }),
                {"4 bytes for validation", "a larger data.valid_fraction"});
  // Exactly one window each is enough: 10 bytes, half and half.
  spec.path = scratch_.write("s3.txt", "0123456789");
  spec.valid_fraction = 0.5;
  const auto source = open_windows(spec, kShort);
  EXPECT_EQ(source->windows(Split::kTrain), 1);
  EXPECT_EQ(source->windows(Split::kValid), 1);
}

TEST_F(FormatsTest, CorruptShards) {
  expect_all_in(error_of(scratch_.write("a.bin", llmc(20240520, 1, 17, kIds, 2))),
                {"a.bin", "byte 8", "promises 17 tokens", "1058 bytes", "has 1056", "copy the shard again"});
  expect_all_in(error_of(scratch_.write("b.bin", llmc(20240520, 3, 16, kIds, 2))), {"byte 4", "version 3"});
  expect_all_in(error_of(scratch_.write("c.bin", llmc(20240520, 1, 16, kIds, 2).substr(0, 500))),
                {"500 bytes are too few for the header"});
  expect_all_in(error_of(scratch_.write("d.bin", llmc(1, 1, 16, kIds, 2)), DataKind::kShard),
                {"byte 0", "magic number 1", "data.kind"});
  expect_all_in(error_of(scratch_.write("e.bin", little_endian(kIds, 2) + "x")),
                {"odd size of 33 bytes", "byte 32"});
}

TEST_F(FormatsTest, TinyShakespeare) {
  const std::string path = std::string(EVENKEEL_SOURCE_DIR) + "/../shared/data/tinyshakespeare/input.txt";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "../shared/data/tinyshakespeare is not there";
  DataSpec spec;
  spec.path = path;
  const auto source = open_windows(spec, 128);
  EXPECT_EQ(source->facts().train_tokens + source->facts().valid_tokens, 1115394);
  EXPECT_EQ(source->vocab(), 256);
  EXPECT_EQ(source->windows(Split::kTrain), 7842);
  // Between the entropies of English letters known to the field: H1 near 3.3, H2 near 2.4 nats.
  EXPECT_NEAR(source->facts().unigram_entropy, 3.33, 0.05);
  EXPECT_NEAR(source->facts().bigram_entropy.value(), 2.35, 0.1);
}

}  // namespace
}  // namespace evenkeel::data
