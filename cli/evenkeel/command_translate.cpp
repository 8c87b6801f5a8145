#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/translator.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/lines.h"
#include "evenkeel/base/utf8.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kTranslateExamples =
    "Beam search; with the mean of the last checkpoints (--average) translations are usually better.\n"
    "Examples:\n"
    "  evenkeel translate runs/en-de test.en.gz -o test.out.de\n"
    "  echo 'A man rides a bike.' | evenkeel translate runs/en-de --average 10\n"
    "  evenkeel translate runs/en-de test.en --beam 1    greedy";

struct TranslateArguments {
  TranslatorOptions translator;
  std::string in, out;
};

std::vector<std::string> lines_of(const std::string& file) {
  if (!file.empty()) return read_lines(file, "FILE");
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (const std::size_t bad = first_invalid_utf8(line); bad != std::string::npos)
      throw InputError(fmt::format("standard input is not UTF-8 at byte {} of line {}; convert it with iconv",
                                   bad + 1, lines.size() + 1));
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

void translate(const TranslateArguments& args) {
  Translator translator(args.translator);
  if (!translator.has_text())
    throw InputError(
        fmt::format("{} learnt the built-in pair task and knows no words; `evenkeel evaluate` "
                    "measures it",
                    args.translator.run));
  const tokenize::Tokenizer tokenizer = translator.tokenizer();
  std::vector<Sentence> sources;
  for (const std::string& line : lines_of(args.in)) {
    sources.push_back(tokenizer.encode(line));
    sources.back().push_back(PairIds::kEnd);
  }
  std::string text;
  for (const Sentence& target : translator.translate(sources))
    text += Translator::line_of(tokenizer, target) + "\n";
  if (args.out.empty()) print_out("{}", text);
  else write_file(args.out, text);
}

}  // namespace

void add_translate(CLI::App& app, int&) {
  auto args = std::make_shared<TranslateArguments>();
  CLI::App* command = app.add_subcommand("translate", "Translate lines of text with a run of seq2seq");
  args->translator.add_to(*command);
  command->add_option("FILE", args->in, "Sentences, one a line; plain or gzip (standard input)");
  command->add_option("-o,--out", args->out, "File to write (standard output)")->type_name("FILE");
  command->footer(kTranslateExamples);
  command->callback([args] { translate(*args); });
}

}  // namespace evenkeel::cli
