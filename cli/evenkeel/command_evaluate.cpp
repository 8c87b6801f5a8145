#include <fmt/format.h>

#include <memory>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/translator.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/translation/bleu.h"
#include "evenkeel/translation/chrf.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kEvaluateExamples =
    "Choose settings on the validation part, and look at the test part once.\n"
    "Examples:\n"
    "  evenkeel evaluate runs/en-de --average 10\n"
    "  evenkeel evaluate runs/en-de --average 10 --part test -o test.out.de\n"
    "  evenkeel evaluate runs/sort                built-in pair task: sentences that are right";

struct EvaluateArguments {
  TranslatorOptions translator;
  std::string part = "valid", out;
  bool json = false;
};

data::PairPart part_of(const Translator& translator, const std::string& part) {
  const DataSpec& spec = translator.manifest().experiment.data;
  if (translator.has_text())
    return part == "test" ? data::open_test_pairs(translator.folder()) : data::open_pairs(spec).valid;
  if (part == "test")
    throw InputError("--part test is for runs on text: the built-in pair task has a valid part only");
  return data::make_pair_task(spec).valid;
}

Sentence without_end(Sentence ids) {
  ids.pop_back();
  return ids;
}

void evaluate(const EvaluateArguments& args) {
  Translator translator(args.translator);
  std::unique_ptr<tokenize::Tokenizer> words;
  if (translator.has_text()) words = std::make_unique<tokenize::Tokenizer>(translator.tokenizer());
  else if (!args.out.empty())
    throw InputError("--out is for runs on text: the built-in pair task has no words; leave it out");
  const data::PairPart part = part_of(translator, args.part);
  std::vector<Sentence> sources, references;
  for (std::int64_t i = 0; i < part.size(); ++i) {
    // Nothing can be compared with a blank reference, and the model reads no longer source.
    if (part.target.length(i) == 1 || part.source.length(i) > translator.longest()) continue;
    sources.push_back(part.source.read(i));
    references.push_back(without_end(part.target.read(i)));
  }
  const std::int64_t left_out = part.size() - std::ssize(sources);
  if (sources.empty())
    throw InputError(
        fmt::format("the {} part has no pair with a reference and a source of at most "
                    "[arch.context] = {} tokens; look at it with `evenkeel data inspect`",
                    args.part, translator.longest()));
  if (left_out > 0)
    print_err("evenkeel: {} of {} pairs left out: no reference, or a source longer than {} tokens\n",
              left_out, part.size(), translator.longest());
  const std::vector<Sentence> targets = translator.translate(sources);
  std::int64_t exact = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) exact += targets[i] == references[i];
  const double share = static_cast<double>(exact) / static_cast<double>(targets.size());
  Json j{{"run", args.translator.run},
         {"step", translator.step()},
         {"average", args.translator.average},
         {"beam", args.translator.beam},
         {"length_penalty", args.translator.length_penalty},
         {"part", args.part},
         {"sentences", targets.size()},
         {"left_out", left_out},
         {"exact", share}};
  std::string text;
  if (words) {
    std::vector<std::string> hypotheses;
    std::vector<std::vector<std::string>> reference_lines(1);
    for (const Sentence& target : targets) hypotheses.push_back(Translator::line_of(*words, target));
    for (const Sentence& reference : references)
      reference_lines[0].push_back(Translator::line_of(*words, reference));
    std::string lines;
    for (const std::string& line : hypotheses) lines += line + "\n";
    if (!args.out.empty()) write_file(args.out, lines);
    const translation::Bleu bleu = translation::bleu(hypotheses, reference_lines);
    const double chrf = translation::chrf(hypotheses, reference_lines);
    j["bleu"] = bleu.score;
    j["brevity_penalty"] = bleu.brevity_penalty;
    j["chrf2"] = chrf;
    text = fmt::format("BLEU = {:.2f} (brevity penalty {:.3f}), chrF2 = {:.2f}; ", bleu.score,
                       bleu.brevity_penalty, chrf);
  }
  if (args.json) print_out("{}\n", json_text(j, 2));
  else
    print_out("{}{:.1f} % of {} sentences exactly right ({}, step {})\n", text, 100 * share, targets.size(),
              args.part, translator.step());
}

}  // namespace

void add_evaluate(CLI::App& app, int&) {
  auto args = std::make_shared<EvaluateArguments>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Translate a part of a run's sentence pairs and score it: BLEU, chrF2");
  args->translator.add_to(*command);
  command->add_option("--part", args->part, "valid or test (valid)")
      ->type_name("PART")
      ->check(CLI::IsMember({"valid", "test"}));
  command->add_option("-o,--out", args->out, "Also write the translations, one a line")->type_name("FILE");
  add_json_flag(*command, args->json);
  command->footer(kEvaluateExamples);
  command->callback([args] { evaluate(*args); });
}

}  // namespace evenkeel::cli
