#include "evenkeel/tokenize/pair_corpus.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/data/pairs/pair_source.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::tokenize {
namespace {

class PairCorpus : public testing::Test {
 protected:
  PairCorpus() {
    std::string sources, targets;
    const char* words[] = {"harbour", "keel", "storm", "sail", "cr\xc3\xa9w", "anchor", "tide"};
    for (int i = 0; i < 200; ++i) {
      sources += std::string(words[i % 7]) + " and " + words[(i * i + 3) % 7] + "\n";
      targets += std::string(words[(i * i + 3) % 7]) + " und " + words[i % 7] + "\n";
    }
    options_.train = {file("a.en", sources + "\nempty\n"), file("a.de", targets + "leer\n \n")};
    options_.test = {{file("t.en", "keel and tide\n\n"), file("t.de", "tide und keel\nleer\n")}};
    options_.out = folder_.path() / "pairs";
    options_.train_options.vocab = 320;
  }
  std::string file(const std::string& name, const std::string& text) {
    write_file(folder_.path() / name, text);
    return (folder_.path() / name).string();
  }

  test::TempFolder folder_;
  PairCorpusOptions options_;
};

TEST_F(PairCorpus, IsWrittenAndReadsBackAsTheSameText) {
  const data::PairsFile made = tokenize_pairs(options_);
  EXPECT_EQ(made.train.pairs, 180);  // two had an empty side
  EXPECT_EQ(made.valid.pairs, 20);
  ASSERT_TRUE(made.test.has_value());
  EXPECT_EQ(made.test->pairs, 2);  // here every line stays
  EXPECT_EQ(data::read_pairs_file(options_.out), made);

  DataSpec spec;
  spec.path = options_.out.string();
  const data::PairPart train = data::open_pairs(spec).train, test = data::open_test_pairs(options_.out);
  EXPECT_EQ(data::decode(made.pieces, train.source.read(0)), "harbour and sail");
  EXPECT_EQ(data::decode(made.pieces, train.target.read(0)), "sail und harbour");
  EXPECT_EQ(data::decode(made.pieces, test.target.read(1)), "leer");
  EXPECT_EQ(test.source.length(1), 1);
  for (const std::int64_t id : {PairIds::kBos, PairIds::kPad, PairIds::kEnd})
    EXPECT_EQ(made.pieces[static_cast<std::size_t>(id)].kind, data::Piece::Kind::kControl);

  // The same again, with the model that was made.
  options_.model = options_.out / "tokenizer.model";
  options_.out = folder_.path() / "again";
  EXPECT_EQ(tokenize_pairs(options_), made);
}

TEST_F(PairCorpus, WhatDoesNotFitIsNamed) {
  const auto sentence = [&]() -> std::string {
    try {
      tokenize_pairs(options_);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  tokenize_pairs(options_);
  EXPECT_NE(sentence().find("already holds sentence pairs"), std::string::npos);
  options_.replace = true;
  EXPECT_EQ(sentence(), "");
  options_.valid = {{file("v.en", "one\ntwo\n"), file("v.de", "eins\n")}};
  EXPECT_NE(sentence().find("v.en has 2 lines and"), std::string::npos);
  options_.valid = {};
  // A model for texts has no padding.
  const Tokenizer other = Tokenizer::train({"harbour and sail, keel and tide"}, {280});
  write_file(folder_.path() / "other.model", other.model());
  options_.model = folder_.path() / "other.model";
  EXPECT_NE(sentence().find("must have bos, padding, end and unknown"), std::string::npos);
}

}  // namespace
}  // namespace evenkeel::tokenize
