// `evenkeel data tokenize` and `evenkeel data inspect`.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/evenkeel/commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/data/source.h"
#include "evenkeel/data/text/tokens_file.h"
#include "evenkeel/spec/sweep.h"
#include "evenkeel/tokenize/corpus.h"

namespace evenkeel::cli {
namespace {

void print_json(const Json& document) {
  fmt::print("{}\n", json_text(document, 2));
}

// --- tokenize
// -------------------------------------------------------------------------------------------------

struct TokenizeArguments {
  tokenize::CorpusOptions corpus;
  std::string out, model, type = "bpe", documents = "blank-line";
  bool json = false;
};

void tokenize_command(TokenizeArguments& a) {
  a.corpus.out = a.out;
  if (!a.model.empty()) a.corpus.model = a.model;
  a.corpus.train.type = a.type == "bpe" ? tokenize::ModelType::kBpe : tokenize::ModelType::kUnigram;
  a.corpus.documents = a.documents == "line"   ? tokenize::Documents::kLine
                       : a.documents == "file" ? tokenize::Documents::kFile
                                               : tokenize::Documents::kBlankLine;
  const data::TokensFile t = tokenize::tokenize_corpus(a.corpus);
  if (a.json) {
    const auto part = [](const data::TokensFile::Part& p) {
      return Json{
          {"tokens", p.tokens}, {"documents", p.documents}, {"text_bytes", p.text_bytes}, {"hash", p.hash}};
    };
    return print_json({{"out", a.out},
                       {"vocab", t.vocab},
                       {"end_id", t.end_id},
                       {"train", part(t.train)},
                       {"valid", part(t.valid)}});
  }
  const auto bytes_per_token = [](const data::TokensFile::Part& p) {
    return static_cast<double>(p.text_bytes) / static_cast<double>(std::max<std::int64_t>(1, p.tokens));
  };
  fmt::print("vocabulary    {} pieces, id {} ends a document\n", t.vocab, t.end_id);
  fmt::print("training      {} tokens in {} documents, {:.2f} bytes per token\n", t.train.tokens,
             t.train.documents, bytes_per_token(t.train));
  fmt::print("validation    {} tokens in {} documents, {:.2f} bytes per token\n", t.valid.tokens,
             t.valid.documents, bytes_per_token(t.valid));
  fmt::print("written to {}; train on it with --set data.path={}\n", a.out, a.out);
}

void add_tokenize(CLI::App& data) {
  auto a = std::make_shared<TokenizeArguments>();
  CLI::App* c = data.add_subcommand("tokenize", "Turn text into a folder of token ids to train on");
  c->add_option("IN", a->corpus.inputs, "Text files (UTF-8), or JSON lines where the name ends in .jsonl")
      ->required();
  c->add_option("--out", a->out, "Folder to write")->required()->type_name("DIR");
  c->add_option("--vocab", a->corpus.train.vocab,
                "Number of pieces of the tokeniser that is trained (default 1024)")
      ->type_name("N")
      ->check(CLI::Range(260, 1 << 20));
  c->add_option("--type", a->type, "Kind of tokeniser: bpe (default) or unigram")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"bpe", "unigram"}));
  c->add_option("--model", a->model, "Use this SentencePiece model instead of training one")
      ->type_name("FILE");
  c->add_option("--documents", a->documents,
                "What ends a document of plain text: blank-line (default), line, or file (each file is one)")
      ->type_name("HOW")
      ->check(CLI::IsMember({"blank-line", "line", "file"}));
  c->add_option("--text-field", a->corpus.text_field,
                "Field of each JSON line that holds the text (default \"text\")")
      ->type_name("NAME");
  c->add_option("--valid-fraction", a->corpus.valid_fraction,
                "Share of the text, the last documents, kept for validation (default 0.1)")
      ->type_name("X")
      ->check(CLI::Range(0.001, 0.5));
  c->add_flag("--replace", a->corpus.replace, "Overwrite the token data in the folder");
  add_json_flag(*c, a->json);
  c->footer(
      "Examples:\n"
      "  evenkeel data tokenize input.txt --out tokens\n"
      "  evenkeel data tokenize a.jsonl b.jsonl --text-field body --vocab 4096 --type unigram --out tokens\n"
      "  evenkeel data tokenize new.txt --model tokens/tokenizer.model --documents line --out more");
  c->callback([a] { tokenize_command(*a); });
}

// --- inspect
// --------------------------------------------------------------------------------------------------

struct InspectArguments {
  std::string path;
  std::vector<std::string> sets;
  bool json = false;
};

Experiment experiment_to_inspect(const InspectArguments& a) {
  Settings overrides;
  for (const std::string& text : a.sets) {
    auto [path, setting] = parse_assignment(text);
    overrides[path] = std::move(setting);
  }
  if (std::filesystem::path(a.path).extension() == ".toml") {
    return experiment_from(sweep_from(settings_from_toml(a.path, {"sweep"}), overrides).base);
  }
  Settings settings;
  if (!a.path.empty()) settings["data.path"] = {a.path, "PATH"};
  for (auto& [path, setting] : overrides) settings[path] = std::move(setting);
  const Settings& all = settings;
  return experiment_from(all);
}

// How the ids of this kind read as text; empty where nothing is known about them.
std::vector<data::Piece> pieces_of(DataKind kind, const DataSpec& spec) {
  if (kind == DataKind::kTokens) return data::read_tokens_file(*spec.path).pieces;
  std::vector<data::Piece> pieces;
  if (kind == DataKind::kBytes || kind == DataKind::kJsonl) {
    for (int b = 0; b < 256; ++b)
      pieces.push_back({data::Piece::Kind::kByte, std::string(1, static_cast<char>(b))});
  }
  if (kind == DataKind::kJsonl) pieces.emplace_back();
  return pieces;
}

void print_facts(const Json& j) {
  const auto number = [](const Json& value, const char* otherwise) {
    return value.is_null()           ? std::string(otherwise)
           : value.is_number_float() ? fmt::format("{:.4f}", value.get<double>())
                                     : value.dump();
  };
  fmt::print("data          {}\n", j["name"].get<std::string>());
  fmt::print("kind          {}\n", j["kind"].get<std::string>());
  fmt::print("vocabulary    {} ids, {} of them occur in the training text\n", j["vocab"].dump(),
             j["occurring_ids"].dump());
  fmt::print("training      {} tokens, {} windows of {}\n", number(j["train"]["tokens"], "endless"),
             number(j["train"]["windows"], "endless"), j["context"].dump());
  fmt::print("validation    {} tokens, {} windows of {}, of which {} are used\n",
             number(j["valid"]["tokens"], "?"), j["valid"]["windows"].dump(), j["context"].dump(),
             j["valid"]["used_windows"].dump());
  fmt::print("H1            {} nats per token, unigram entropy of the validation set\n",
             number(j["unigram_entropy"], "?"));
  if (j["bigram_entropy"].is_null()) {
    fmt::print("H2            bigram entropy not known: too few validation tokens for this vocabulary\n");
  } else {
    fmt::print("H2            {} nats per token, bigram entropy of the validation set\n",
               number(j["bigram_entropy"], "?"));
  }
  if (!j["floor"].is_null())
    fmt::print("floor         {} nats per token, loss of the ideal predictor\n", number(j["floor"], "?"));
  fmt::print("fingerprint   {}\n", j["fingerprint"].get<std::string>());
  fmt::print("first ids     {}\n", j["first"]["ids"].dump());
  if (!j["first"]["text"].is_null()) {
    fmt::print("first text    {}\n", json_text(j["first"]["text"]));
  }
}

void inspect_command(const InspectArguments& a) {
  const Experiment e = experiment_to_inspect(a);
  const std::int64_t context = e.arch.context;
  const auto source = data::open_source(e.data, context);
  const data::Facts& f = source->facts();
  const DataFacts facts = data::facts_for_resolve(*source, e.data);
  const auto or_null = [](std::int64_t n) { return n < 0 ? Json(nullptr) : Json(n); };
  const auto maybe = [](const std::optional<double>& x) { return x ? json_number(*x) : Json(nullptr); };

  std::vector<std::int32_t> window(static_cast<std::size_t>(context + 1));
  source->read(data::Split::kTrain, 0, window);
  window.resize(std::min<std::size_t>(window.size(), 32));
  const std::vector<data::Piece> pieces = pieces_of(facts.kind, e.data);
  const Json j = {
      {"name", f.name},
      {"kind", std::string(enum_name(facts.kind))},
      {"fingerprint", facts.fingerprint},
      {"vocab", source->vocab()},
      {"occurring_ids", std::count(f.occurs.begin(), f.occurs.end(), true)},
      {"context", context},
      {"train",
       {{"tokens", or_null(f.train_tokens)}, {"windows", or_null(source->windows(data::Split::kTrain))}}},
      {"valid",
       {{"tokens", f.valid_tokens},
        {"windows", source->windows(data::Split::kValid)},
        {"used_windows", data::valid_windows(*source, context, e.data.valid_tokens)}}},
      {"unigram_entropy", json_number(f.unigram_entropy)},
      {"bigram_entropy", maybe(f.bigram_entropy)},
      {"floor", maybe(f.floor)},
      {"first",
       {{"ids", window}, {"text", pieces.empty() ? Json(nullptr) : Json(data::decode(pieces, window))}}},
  };
  a.json ? print_json(j) : print_facts(j);
}

void add_inspect(CLI::App& data) {
  auto a = std::make_shared<InspectArguments>();
  CLI::App* c = data.add_subcommand("inspect",
                                    "Say what a data file holds: sizes, vocabulary, entropies, first tokens");
  c->add_option("PATH", a->path,
                "Data file, token folder or study file (.toml); without it the built-in language");
  c->add_option("--set", a->sets,
                "Set any field, such as data.kind=bytes or arch.context=64; may be repeated")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1);
  add_json_flag(*c, a->json);
  c->footer(
      "Examples:\n"
      "  evenkeel data inspect                              the built-in language\n"
      "  evenkeel data inspect input.txt --json\n"
      "  evenkeel data inspect shard.bin --set data.kind=nanogpt --set data.vocab=50257");
  c->callback([a] { inspect_command(*a); });
}

}  // namespace

void add_data(CLI::App& app, int& /*exit_code*/) {
  CLI::App* data = app.add_subcommand("data", "Tokenise text; look into data files");
  data->require_subcommand(1);
  data->footer(
      "Examples:\n"
      "  evenkeel data inspect input.txt\n"
      "  evenkeel data tokenize input.txt --out tokens");
  add_tokenize(*data);
  add_inspect(*data);
}

}  // namespace evenkeel::cli
