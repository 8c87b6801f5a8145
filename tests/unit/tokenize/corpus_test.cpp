#include "evenkeel/tokenize/corpus.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "evenkeel/base/files.h"
#include "evenkeel/data/source.h"
#include "tests/unit/data/scratch_folder.h"

namespace evenkeel::tokenize {
namespace {

// Text with enough different words for a few hundred pieces.
std::string sample_text(int paragraphs) {
  const std::vector<std::string> words{"harbour", "keel", "even", "storm", "sail",  "crew", "anchor", "tide",
                                       "lantern", "rope", "deck", "calm",  "north", "gull", "cargo",  "mast"};
  std::string text;
  for (int p = 0; p < paragraphs; ++p) {
    for (int w = 0; w < 12; ++w) {
      const auto i = static_cast<std::size_t>(p * 7 + w * w * 3 + p * w) % words.size();
      text += words[i] +
              (w % 4 == 3   ? "ing"
               : w % 4 == 1 ? "s"
                            : "") +
              (w == 5    ? ",\n"
               : w == 11 ? ".\n\n"
                         : " ");
    }
  }
  return text;
}

CorpusOptions options_for(const std::string& input, const std::string& out) {
  CorpusOptions o;
  o.inputs = {input};
  o.out = out;
  o.train.vocab = 320;
  return o;
}

TEST(Tokenizer, RoundTripsAnyText) {
  for (const ModelType type : {ModelType::kBpe, ModelType::kUnigram}) {
    const Tokenizer t = Tokenizer::train({sample_text(60)}, {300, type});
    EXPECT_EQ(t.vocab(), 300);
    for (const std::string& text :
         std::vector<std::string>{"harbour storms, anchoring", "  two  spaces and \t tabs ", "a\n\nb\n",
                                  "unseen: \xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2 QZ", "", " "}) {
      EXPECT_EQ(t.decode(t.encode(text)), text);
    }
    EXPECT_LT(t.encode("harbour storms").size(), 14u);  // pieces, not letters
  }
}

TEST(Tokenizer, TrainingIsDeterministic) {
  for (const ModelType type : {ModelType::kBpe, ModelType::kUnigram}) {
    EXPECT_EQ(Tokenizer::train({sample_text(60)}, {300, type}).model(),
              Tokenizer::train({sample_text(60)}, {300, type}).model());
  }
}

TEST(Tokenizer, VocabularyThatTheTextCannotFill) {
  expect_all_in(input_error([] {
                  Tokenizer::train({"a b c"}, {5000, ModelType::kBpe});
                }),
                {"[--vocab]", "5000 pieces cannot be made", "give at most --vocab"});
  expect_all_in(input_error([] { Tokenizer::train({}, {}); }), {"no text to train"});
}

TEST(Documents, BlankLinesLinesOrFiles) {
  ScratchFolder scratch;
  CorpusOptions o = options_for(scratch.write("a.txt", "one\ntwo\n\n \t\r\nthree\n\n\n"), "");
  o.inputs.push_back(scratch.write("b.txt", "four"));
  using Strings = std::vector<std::string>;
  EXPECT_EQ(read_documents(o), (Strings{"one\ntwo", "three", "four"}));
  o.documents = Documents::kLine;
  EXPECT_EQ(read_documents(o), (Strings{"one", "two", "three", "four"}));
  o.documents = Documents::kFile;
  EXPECT_EQ(read_documents(o), (Strings{"one\ntwo\n\n \t\r\nthree\n\n\n", "four"}));
  o.inputs = {scratch.write("c.jsonl", "{\"body\": \"x\\n\\ny\"}\n{\"body\": \" \"}\n{\"body\": \"z\"}\n")};
  o.text_field = "body";
  EXPECT_EQ(read_documents(o), (Strings{"x\n\ny", "z"}));
}

TEST(Documents, SplitKeepsTheLastDocumentsForValidation) {
  std::vector<std::string> ten(10, "12345");
  EXPECT_EQ(split_documents(ten, 0.2), 8u);
  EXPECT_EQ(split_documents(ten, 0.001), 9u);
  std::vector<std::string> two{"1", std::string(1000, 'x')};
  EXPECT_EQ(split_documents(two, 0.1), 1u);
  std::vector<std::string> one{"aaaa\nbbbb\ncccc\ndddd"};
  EXPECT_EQ(split_documents(one, 0.3), 1u);
  EXPECT_EQ(one, (std::vector<std::string>{"aaaa\nbbbb", "cccc\ndddd"}));
  std::vector<std::string> line{"no line end"};
  expect_all_in(input_error([&] { split_documents(line, 0.3); }), {"[--valid-fraction]", "one line"});
}

TEST(Corpus, FolderHoldsTheTextAndOpensAsData) {
  ScratchFolder scratch;
  const CorpusOptions o = options_for(scratch.write("a.txt", sample_text(60)), scratch.path("tokens"));
  const data::TokensFile written = tokenize_corpus(o);
  EXPECT_EQ(written.train.documents + written.valid.documents, 60);
  EXPECT_EQ(data::read_tokens_file(o.out), written);

  DataSpec spec;
  spec.path = o.out.string();
  const auto source = data::open_windows(spec, 32);
  EXPECT_EQ(data::facts_for_resolve(*source, spec).kind, DataKind::kTokens);
  EXPECT_EQ(source->vocab(), 320);
  EXPECT_EQ(source->facts().train_tokens, written.train.tokens);
  // The whole stream decodes to the documents, each followed by the end id.
  const auto documents = read_documents(o);
  std::vector<std::int32_t> ids, window(33);
  for (std::int64_t i = 0; i < source->windows(data::Split::kTrain); ++i) {
    source->read(data::Split::kTrain, i, window);
    ids.insert(ids.end(), window.begin(), window.end() - 1);
  }
  std::vector<std::int32_t> document;
  std::size_t next = 0;
  for (const std::int32_t id : ids) {
    if (id != written.end_id) {
      document.push_back(id);
      continue;
    }
    ASSERT_LT(next, documents.size());
    EXPECT_EQ(data::decode(written.pieces, document), documents[next++]);
    document.clear();
  }
  EXPECT_GE(next + 3, static_cast<std::size_t>(written.train.documents));  // the last window cuts a few off
}

TEST(Corpus, SameInputGivesSameBytesAndAModelCanBeReused) {
  ScratchFolder scratch;
  CorpusOptions a = options_for(scratch.write("a.txt", sample_text(60)), scratch.path("a")), b = a, c = a;
  b.out = scratch.path("b");
  c.out = scratch.path("c");
  c.model = a.out / "tokenizer.model";
  tokenize_corpus(a);
  tokenize_corpus(b);
  tokenize_corpus(c);
  for (const char* name : {"tokens.json", "train.bin", "valid.bin", "tokenizer.model"}) {
    EXPECT_EQ(read_file(a.out / name), read_file(b.out / name)) << name;
    EXPECT_EQ(read_file(a.out / name), read_file(c.out / name)) << name;
  }
}

TEST(Corpus, ClearErrors) {
  ScratchFolder scratch;
  CorpusOptions o = options_for(scratch.write("a.txt", sample_text(60)), scratch.path("tokens"));
  tokenize_corpus(o);
  expect_all_in(input_error([&] { tokenize_corpus(o); }),
                {"[--out]", "already holds token data", "--replace"});
  o.replace = true;
  tokenize_corpus(o);
  o.model = scratch.write("bad.model", "no model");
  expect_all_in(input_error([&] { tokenize_corpus(o); }),
                {"[--model]", "bad.model", "no SentencePiece model"});
  o.model = scratch.path("none.model");
  expect_all_in(input_error([&] { tokenize_corpus(o); }), {"none.model", "no such file"});
  const auto error_of = [&](const std::string& input) {
    return input_error([&] { tokenize_corpus(options_for(input, scratch.path("x"))); });
  };
  expect_all_in(error_of(scratch.path("gone.txt")), {"[IN]", "gone.txt", "no such file"});
  expect_all_in(error_of(scratch.write("empty.txt", "")), {"empty.txt", "empty (0 bytes)"});
  expect_all_in(error_of(scratch.write("blank.txt", "\n \n")), {"only blank lines"});
  expect_all_in(error_of(scratch.write("latin.txt", "caf\xe9 noir")),
                {"latin.txt, byte 3", "not UTF-8", "iconv"});
}

// Damage to a token folder after it was written.
TEST(Corpus, DamagedFolderIsAnError) {
  ScratchFolder scratch;
  const CorpusOptions o = options_for(scratch.write("a.txt", sample_text(60)), scratch.path("tokens"));
  tokenize_corpus(o);
  DataSpec spec;
  spec.path = o.out.string();
  const auto error = [&] { return input_error([&] { data::open_windows(spec, 32); }); };
  const std::string train = read_file(o.out / "train.bin"), json = read_file(o.out / "tokens.json");

  write_file(o.out / "train.bin", train.substr(0, train.size() - 2));
  expect_all_in(error(), {"train.bin", "description promises", "run `evenkeel data tokenize` again"});
  std::string flipped = train;
  flipped[10] = static_cast<char>(flipped[10] ^ 1);
  write_file(o.out / "train.bin", flipped);
  expect_all_in(error(), {"train.bin", "does not match its hash"});
  std::filesystem::remove(o.out / "train.bin");
  expect_all_in(error(), {"train.bin", "no such file"});
  write_file(o.out / "train.bin", train);

  write_file(o.out / "tokens.json", "{\"format\": \"evenkeel tokens 9\"}");
  expect_all_in(error(), {"unknown format \"evenkeel tokens 9\""});
  write_file(o.out / "tokens.json", "{\"format\": \"evenkeel tokens 1\"}");
  expect_all_in(error(), {"tokens.json", "not as evenkeel writes it"});
  write_file(o.out / "tokens.json", json.substr(0, 100));
  expect_all_in(error(), {"tokens.json"});
  write_file(o.out / "tokens.json", json);
  spec.valid_path = "other";
  expect_all_in(error(), {"[data.valid_path]", "bring their own valid.bin"});
}

TEST(Corpus, TinyShakespeare) {
  const std::string path = std::string(EVENKEEL_SOURCE_DIR) + "/../shared/data/tinyshakespeare/input.txt";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "../shared/data/tinyshakespeare is not there";
  ScratchFolder scratch;
  CorpusOptions o = options_for(path, scratch.path("tokens"));
  o.train.vocab = 1024;
  const data::TokensFile t = tokenize_corpus(o);
  EXPECT_EQ(t.train.documents + t.valid.documents, 7222);  // speeches
  // Byte-pair pieces of English at this vocabulary hold two to three letters.
  EXPECT_GT(static_cast<double>(t.train.text_bytes) / static_cast<double>(t.train.tokens), 2.2);
  DataSpec spec;
  spec.path = o.out.string();
  EXPECT_GT(data::open_windows(spec, 128)->windows(data::Split::kTrain), 3000);
}

}  // namespace
}  // namespace evenkeel::tokenize
