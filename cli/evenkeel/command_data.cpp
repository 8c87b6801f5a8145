// `evenkeel data tokenize` and `evenkeel data inspect`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/data/pairs/pair_source.h"
#include "evenkeel/data/source.h"
#include "evenkeel/data/text/tokens_file.h"
#include "evenkeel/spec/sweep.h"
#include "evenkeel/tokenize/corpus.h"
#include "evenkeel/tokenize/pair_corpus.h"

namespace evenkeel::cli {
namespace {

void print_json(const Json& document) {
  print_out("{}\n", json_text(document, 2));
}

// --- tokenize
// -------------------------------------------------------------------------------------------------

struct TokenizeArguments {
  tokenize::CorpusOptions corpus;
  std::string out, model, type = "bpe", documents = "blank-line";
  std::vector<std::string> valid, test;  ///< of pairs: two files each
  bool pairs = false, json = false;
};

tokenize::PairCorpusOptions::Files two_files(const std::vector<std::string>& files) {
  if (files.size() != 2) {
    throw InputError(fmt::format(
        "[IN] must be two files with --pairs, the sources and the targets, got {}; give SOURCES TARGETS",
        files.size()));
  }
  return {files[0], files[1]};
}

void tokenize_pairs_command(const TokenizeArguments& a) {
  tokenize::PairCorpusOptions options;
  options.train = two_files(a.corpus.inputs);
  if (!a.valid.empty()) options.valid = two_files(a.valid);
  if (!a.test.empty()) options.test = two_files(a.test);
  options.out = a.corpus.out;
  options.valid_fraction = a.corpus.valid_fraction;
  options.model = a.corpus.model;
  options.train_options = a.corpus.train;
  options.replace = a.corpus.replace;
  const data::PairsFile p = tokenize::tokenize_pairs(options);
  std::vector<std::pair<const char*, data::PairsFile::Part>> parts{{"train", p.train}, {"valid", p.valid}};
  if (p.test) parts.emplace_back("test", *p.test);
  Json answer{{"out", a.out}, {"vocab", p.vocab}};
  const auto side = [](const data::PairsFile::Side& s) {
    return Json{{"tokens", s.tokens}, {"text_bytes", s.text_bytes}, {"hash", s.hash}};
  };
  for (const auto& [name, part] : parts)
    answer[name] = {{"pairs", part.pairs}, {"source", side(part.source)}, {"target", side(part.target)}};
  if (a.json) return print_json(answer);
  print_out("vocabulary    {} pieces for both sides\n", p.vocab);
  for (const auto& [name, part] : parts) {
    print_out("{:<14}{} pairs, {} source and {} target tokens\n", name, part.pairs, part.source.tokens,
              part.target.tokens);
  }
  print_out("written to {}; train on it with --set data.path={}\n", a.out, a.out);
}

void tokenize_command(TokenizeArguments& a) {
  a.corpus.out = a.out;
  if (!a.model.empty()) a.corpus.model = a.model;
  a.corpus.train.type = a.type == "bpe" ? tokenize::ModelType::kBpe : tokenize::ModelType::kUnigram;
  a.corpus.documents = a.documents == "line"   ? tokenize::Documents::kLine
                       : a.documents == "file" ? tokenize::Documents::kFile
                                               : tokenize::Documents::kBlankLine;
  if (a.pairs) return tokenize_pairs_command(a);
  if (!a.valid.empty() || !a.test.empty())
    throw InputError("[--valid] and --test belong to --pairs; leave them out, or add --pairs");
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
  print_out("vocabulary    {} pieces, id {} ends a document\n", t.vocab, t.end_id);
  print_out("training      {} tokens in {} documents, {:.2f} bytes per token\n", t.train.tokens,
            t.train.documents, bytes_per_token(t.train));
  print_out("validation    {} tokens in {} documents, {:.2f} bytes per token\n", t.valid.tokens,
            t.valid.documents, bytes_per_token(t.valid));
  print_out("written to {}; train on it with --set data.path={}\n", a.out, a.out);
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
  c->add_flag("--pairs", a->pairs,
              "IN are two files, line by line sentences and their translation (plain or gzip)");
  c->add_option("--valid", a->valid,
                "With --pairs: validation pairs, SOURCES TARGETS, in place of the last ones")
      ->type_name("FILE")
      ->expected(2);
  c->add_option("--test", a->test, "With --pairs: test pairs, SOURCES TARGETS")
      ->type_name("FILE")
      ->expected(2);
  c->add_flag("--replace", a->corpus.replace, "Overwrite the token data in the folder");
  add_json_flag(*c, a->json);
  c->footer(
      "Examples:\n"
      "  evenkeel data tokenize input.txt --out tokens\n"
      "  evenkeel data tokenize a.jsonl b.jsonl --text-field body --vocab 4096 --type unigram --out tokens\n"
      "  evenkeel data tokenize train.en train.de --pairs --valid val.en val.de --vocab 8000 --out en-de\n"
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
  if (kind == DataKind::kPairs) return data::read_pairs_file(*spec.path).pieces;
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
  print_out("data          {}\n", printable(j["name"].get<std::string>()));
  print_out("kind          {}\n", j["kind"].get<std::string>());
  print_out("vocabulary    {} ids, {} of them occur in the training text\n", j["vocab"].dump(),
            j["occurring_ids"].dump());
  print_out("training      {} tokens, {} windows of {}\n", number(j["train"]["tokens"], "endless"),
            number(j["train"]["windows"], "endless"), j["context"].dump());
  print_out("validation    {} tokens, {} windows of {}, of which {} are used\n",
            number(j["valid"]["tokens"], "?"), j["valid"]["windows"].dump(), j["context"].dump(),
            j["valid"]["used_windows"].dump());
  print_out("H1            {} nats per token, unigram entropy of the validation set\n",
            number(j["unigram_entropy"], "?"));
  if (j["bigram_entropy"].is_null()) {
    print_out("H2            bigram entropy not known: too few validation tokens for this vocabulary\n");
  } else {
    print_out("H2            {} nats per token, bigram entropy of the validation set\n",
              number(j["bigram_entropy"], "?"));
  }
  if (!j["floor"].is_null())
    print_out("floor         {} nats per token, loss of the ideal predictor\n", number(j["floor"], "?"));
  print_out("fingerprint   {}\n", j["fingerprint"].get<std::string>());
  print_out("first ids     {}\n", j["first"]["ids"].dump());
  if (!j["first"]["text"].is_null()) {
    print_out("first text    {}\n", json_text(j["first"]["text"]));
  }
}

// What is known of any source.
Json facts_json(const data::Source& source, const DataFacts& facts, std::int64_t context) {
  const data::Facts& f = source.facts();
  const auto maybe = [](const std::optional<double>& x) { return x ? Json(*x) : Json(nullptr); };
  return {{"name", f.name},
          {"kind", std::string(enum_name(facts.kind))},
          {"fingerprint", facts.fingerprint},
          {"vocab", source.vocab()},
          {"occurring_ids", std::count(f.occurs.begin(), f.occurs.end(), true)},
          {"context", context},
          {"unigram_entropy", f.unigram_entropy},
          {"bigram_entropy", maybe(f.bigram_entropy)},
          {"floor", maybe(f.floor)}};
}

Json first_json(std::vector<std::int32_t> ids, const std::vector<data::Piece>& pieces) {
  ids.resize(std::min<std::size_t>(ids.size(), 32));
  return {{"ids", ids}, {"text", pieces.empty() ? Json(nullptr) : Json(data::decode(pieces, ids))}};
}

void inspect_windows(const data::WindowSource& source, const Experiment& e, const DataFacts& facts,
                     bool json) {
  const std::int64_t context = e.arch.context;
  const data::Facts& f = source.facts();
  const auto or_null = [](std::int64_t n) { return n < 0 ? Json(nullptr) : Json(n); };
  std::vector<std::int32_t> window(static_cast<std::size_t>(context + 1));
  source.read(data::Split::kTrain, 0, window);
  Json j = facts_json(source, facts, context);
  j["train"] = {{"tokens", or_null(f.train_tokens)},
                {"windows", or_null(source.windows(data::Split::kTrain))}};
  j["valid"] = {{"tokens", f.valid_tokens},
                {"windows", source.windows(data::Split::kValid)},
                {"used_windows", data::valid_windows(source, context, e.data.valid_tokens)}};
  j["first"] = first_json(window, pieces_of(facts.kind, e.data));
  json ? print_json(j) : print_facts(j);
}

// Cells of the batches that hold padding, on the side that has more of them.
double padding_share(const data::PairSource& source, const Experiment& e) {
  const auto loader =
      source.loader({e.arch.context, 0, e.data.batch_tokens, static_cast<std::uint64_t>(e.train.seed)});
  double cells = 0, words = 0;
  for (std::int64_t step = 0; loader->epochs(step) < 1; ++step) {
    const data::HostBatch batch = loader->train_batch(step);
    cells += static_cast<double>(batch.rows * (batch.cols + batch.source_cols));
    for (const std::int64_t n : batch.lengths) words += static_cast<double>(n);
    for (const std::int64_t n : batch.source_lengths) words += static_cast<double>(n);
  }
  return 1 - words / cells;
}

void inspect_pairs(const data::PairSource& source, const Experiment& e, const DataFacts& facts, bool json) {
  Json j = facts_json(source, facts, e.arch.context);
  const auto loader =
      source.loader({e.arch.context, 0, e.data.batch_tokens, static_cast<std::uint64_t>(e.train.seed)});
  const auto part = [&](data::Split split, std::int64_t tokens) {
    return Json{{"pairs", source.part(split).size()},
                {"used_pairs", source.used(split).size()},
                {"target_tokens", tokens}};
  };
  j["train"] = part(data::Split::kTrain, source.facts().train_tokens);
  j["train"]["batches"] = std::llround(1 / loader->epochs(1));
  j["train"]["padding"] = padding_share(source, e);
  j["valid"] = part(data::Split::kValid, source.facts().valid_tokens);
  const std::vector<data::Piece> pieces = pieces_of(facts.kind, e.data);
  const std::int64_t first = source.used(data::Split::kTrain).front();
  j["first"] = {{"source", first_json(source.part(data::Split::kTrain).source.read(first), pieces)},
                {"target", first_json(source.part(data::Split::kTrain).target.read(first), pieces)}};
  if (json) return print_json(j);
  print_out("data          {}\n", printable(j["name"].get<std::string>()));
  print_out("kind          {}\n", j["kind"].get<std::string>());
  print_out("vocabulary    {} ids, {} of them occur in the training targets\n", j["vocab"].dump(),
            j["occurring_ids"].dump());
  print_out(
      "training      {} of {} pairs, {} target tokens; {} batches of at most {} tokens, {:.1f}% padding\n",
      j["train"]["used_pairs"].dump(), j["train"]["pairs"].dump(), j["train"]["target_tokens"].dump(),
      j["train"]["batches"].dump(), e.data.batch_tokens, 100 * j["train"]["padding"].get<double>());
  print_out("validation    {} of {} pairs, {} target tokens\n", j["valid"]["used_pairs"].dump(),
            j["valid"]["pairs"].dump(), j["valid"]["target_tokens"].dump());
  print_out("H1            {:.4f} nats per token, unigram entropy of the validation targets\n",
            j["unigram_entropy"].get<double>());
  print_out("fingerprint   {}\n", facts.fingerprint);
  for (const char* side : {"source", "target"}) {
    print_out("first {:<8}{}\n", side, j["first"][side]["ids"].dump());
    if (!j["first"][side]["text"].is_null())
      print_out("              {}\n", json_text(j["first"][side]["text"]));
  }
}

void inspect_command(const InspectArguments& a) {
  const Experiment e = experiment_to_inspect(a);
  const auto source = data::open_source(e.data, e.arch.context);
  const DataFacts facts = data::facts_for_resolve(*source, e.data);
  if (const auto* pairs = dynamic_cast<const data::PairSource*>(source.get()))
    return inspect_pairs(*pairs, e, facts, a.json);
  inspect_windows(dynamic_cast<const data::WindowSource&>(*source), e, facts, a.json);
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
