// `evenkeel score`: BLEU and chrF2 of translations, as sacrebleu computes them.
#include <fmt/format.h>

#include <memory>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/json.h"
#include "evenkeel/base/lines.h"
#include "evenkeel/translation/bleu.h"
#include "evenkeel/translation/chrf.h"

namespace evenkeel::cli {
namespace {

struct ScoreArguments {
  std::string hypotheses;
  std::vector<std::string> references;
  bool sentences = false, json = false;
};

using Lines = std::vector<std::string>;

Json to_json(const translation::Bleu& b, double chrf) {
  return {{"bleu", b.score},
          {"precisions", b.precisions},
          {"matches", b.matches},
          {"totals", b.totals},
          {"brevity_penalty", b.brevity_penalty},
          {"hypothesis_length", b.hypothesis_length},
          {"reference_length", b.reference_length},
          {"chrf2", chrf}};
}

void print_corpus(const translation::Bleu& b, double chrf) {
  print_out(
      "BLEU = {:.2f} {:.1f}/{:.1f}/{:.1f}/{:.1f} (BP = {:.3f} ratio = {:.3f} hyp_len = {} ref_len = {})\n",
      b.score, b.precisions[0], b.precisions[1], b.precisions[2], b.precisions[3], b.brevity_penalty,
      b.reference_length == 0
          ? 0
          : static_cast<double>(b.hypothesis_length) / static_cast<double>(b.reference_length),
      b.hypothesis_length, b.reference_length);
  print_out("chrF2 = {:.2f}\n", chrf);
}

void score(const ScoreArguments& a) {
  const Lines hypotheses = read_lines(a.hypotheses, "HYP");
  std::vector<Lines> references;
  for (const std::string& file : a.references) references.push_back(read_lines(file, "REF"));
  const translation::Bleu corpus = translation::bleu(hypotheses, references);
  const double chrf = translation::chrf(hypotheses, references);
  Json sentences = Json::array();
  for (std::size_t i = 0; a.sentences && i < hypotheses.size(); ++i) {
    const Lines hypothesis{hypotheses[i]};
    std::vector<Lines> own;
    for (const Lines& list : references) own.push_back({list[i]});
    const double bleu = translation::bleu(hypothesis, own, true).score,
                 sentence_chrf = translation::chrf(hypothesis, own);
    if (a.json) sentences.push_back({{"bleu", bleu}, {"chrf2", sentence_chrf}});
    else print_out("{:.2f}\t{:.2f}\n", bleu, sentence_chrf);
  }
  if (a.json) {
    Json j = to_json(corpus, chrf);
    if (a.sentences) j["sentences"] = std::move(sentences);
    print_out("{}\n", json_text(j, 2));
  } else if (!a.sentences) {
    print_corpus(corpus, chrf);
  }
}

}  // namespace

void add_score(CLI::App& app, int& /*exit_code*/) {
  auto a = std::make_shared<ScoreArguments>();
  CLI::App* c =
      app.add_subcommand("score", "BLEU and chrF2 of translations against references, as sacrebleu's");
  c->add_option("HYP", a->hypotheses, "Translations, one a line; plain or gzip")->required();
  c->add_option("REF", a->references, "References, one a line; several files are several references a line")
      ->required();
  c->add_flag("--sentences", a->sentences, "BLEU and chrF2 of every line instead of the whole");
  add_json_flag(*c, a->json);
  c->footer(
      "Case is kept, words are cut as mteval-v13a does, orders without a match are smoothed exponentially:\n"
      "sacrebleu's defaults, case:mixed|eff:no|tok:13a|smooth:exp (eff:yes with --sentences) and\n"
      "case:mixed|eff:yes|nc:6|nw:0|space:no.\n"
      "Examples:\n"
      "  evenkeel score out.de test.de\n"
      "  evenkeel score out.de test.de.gz --json\n"
      "  evenkeel score out.de a.de b.de --sentences");
  c->callback([a] { score(*a); });
}

}  // namespace evenkeel::cli
