// Expected scores are sacrebleu's: from its documentation and its own tests, and, where the comment says so,
// from a transcription of its definitions into Python. They are the same sums in the same precision, so 1e-9
// leaves room for the order of summation only.
#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/translation/bleu.h"
#include "evenkeel/translation/chrf.h"
#include "evenkeel/translation/tokenize_13a.h"

namespace evenkeel::translation {
namespace {

using Lines = std::vector<std::string>;
using Several = std::vector<Lines>;
using Words = std::vector<std::u32string>;

double one_bleu(const std::string& hypothesis, const std::string& reference, bool effective_order = false) {
  return bleu(Lines{hypothesis}, Several{Lines{reference}}, effective_order).score;
}

double one_chrf(const std::string& hypothesis, const std::string& reference) {
  return chrf(Lines{hypothesis}, Several{Lines{reference}});
}

struct Odd {
  const char *hypothesis, *reference;
  double bleu, chrf;
};

// Markup, digits, hyphens, other scripts, odd spaces, too short, empty, nothing right. By the transcription.
const Odd kOdd[] = {
    {"Prices rose 3.5%, to $1,234.50 - a 12-year high...",
     "Prices rose by 3.5%, to $1,234.50 -- a 12-year high .", 59.97820163128021, 82.3464637518451},
    {"&quot;AT&amp;T&quot; &lt;b&gt;said&lt;/b&gt;: it's fine, isn't it?",
     "\"AT&T\" <b>said</b>: it is fine, isn't it?", 81.60528832434373, 41.7643681514911},
    {"Ein Mädchen im Café — „ja“, sagte sie.\u00a0Punkt",
     "Ein Mädchen in einem Café: „ja“, sagte sie. Punkt.", 44.591268087021724, 71.34686546799249},
    {"e-mail me@x.org/a_b at 5,6 or .7 ,8", "E-mail me@x.org/a_b at 5,6 or .7, 8", 93.51334836242394,
     96.21062855832969},
    {"日本語 の 文 です 。", "日本 の 文 です 。", 66.87403049764218, 52.425789532418264},
    {"state-of-the-art 2019-20 season,and more", "state-of-the-art 2019-20 season, and more", 100, 100},
    {"naïve <skipped>café \u2028 tab\there   ", "naïve café tab here", 100, 70.29936501270853},
    {"a b", "a b c", 0, 63.63636363636363},
    {"", "nothing was said", 0, 0},
    {"wrong words only here now", "none of these match up", 0, 10.009392812325183},
};

TEST(Tokenize13a, CutsPunctuationAsMtevalDoes) {
  EXPECT_EQ(tokenize_13a("Prices rose 3.5%, to $1,234.50 - a 12-year high..."),
            (Words{U"Prices", U"rose", U"3.5", U"%", U",", U"to", U"$", U"1,234.50", U"-", U"a", U"12", U"-",
                   U"year", U"high", U".", U".", U"."}));
  EXPECT_EQ(tokenize_13a("&lt;b&gt;it's&lt;/b&gt;\u00a0state-of-the-art"),
            (Words{U"<", U"b", U">", U"it's", U"<", U"/", U"b", U">", U"state-of-the-art"}));
  EXPECT_EQ(tokenize_13a("or .7 ,8"), (Words{U"or", U".", U"7", U",", U"8"}));
  EXPECT_EQ(tokenize_13a("hy-\nphen \n"), (Words{U"hyphen"}));
  EXPECT_TRUE(tokenize_13a(" \u3000").empty());
  // Half a character, as a model may write it, is one odd character.
  EXPECT_EQ(tokenize_13a("a\xc3 b"), (Words{U"a\ufffd", U"b"}));
}

TEST(Scores, EqualSacrebleusDocumentation) {
  const Lines hypotheses{"The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."};
  const std::vector<Lines> references{
      {"The dog bit the man.", "It was not unexpected.", "The man bit him first."},
      {"The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."}};
  const Bleu b = bleu(hypotheses, references);
  EXPECT_NEAR(b.score, 48.530827, 1e-6);  // six decimals are published
  EXPECT_EQ(b.matches, (std::array<std::int64_t, 4>{14, 7, 5, 3}));
  EXPECT_EQ(b.totals, (std::array<std::int64_t, 4>{17, 14, 11, 8}));
  EXPECT_NEAR(b.brevity_penalty, 0.943, 5e-4);
  EXPECT_EQ(b.hypothesis_length, 17);
  EXPECT_EQ(b.reference_length, 18);
  EXPECT_NEAR(chrf(hypotheses, references), 59.73, 5e-3);  // two decimals are published
  EXPECT_EQ(bleu(Lines(3), references).score, 0);
}

TEST(Scores, EqualSacrebleusOwnTests) {
  EXPECT_NEAR(one_bleu("Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;",
                       "producţia de zahăr brut se exprimă în zahăr alb;"),
              8.493, 1e-3);
  EXPECT_EQ(one_bleu("this is a cat", "okay thanks"), 0);
  EXPECT_NEAR(one_chrf("aa", "ab"), 25, 1e-9);
  EXPECT_NEAR(one_chrf("a b c", "abc"), 100, 1e-9);
  EXPECT_EQ(one_chrf("abcdefg", "hijklmnop"), 0);
  EXPECT_EQ(one_chrf("", "reference"), 0);
  EXPECT_NEAR(chrf(Lines{"a", "b"}, Several{Lines{"a", "c"}}), 50, 1e-9);
}

TEST(Scores, OfOddSentences) {
  Lines hypotheses, references, reversed;
  for (const Odd& odd : kOdd) {
    EXPECT_NEAR(one_bleu(odd.hypothesis, odd.reference), odd.bleu, 1e-9) << odd.hypothesis;
    EXPECT_NEAR(one_chrf(odd.hypothesis, odd.reference), odd.chrf, 1e-9) << odd.hypothesis;
    hypotheses.push_back(odd.hypothesis);
    references.push_back(odd.reference);
    reversed.insert(reversed.begin(), odd.reference);
  }
  const Bleu b = bleu(hypotheses, Several{references});
  EXPECT_NEAR(b.score, 70.41989925621854, 1e-9);
  EXPECT_EQ(b.matches, (std::array<std::int64_t, 4>{76, 63, 51, 42}));
  EXPECT_EQ(b.totals, (std::array<std::int64_t, 4>{89, 80, 71, 63}));
  EXPECT_NEAR(chrf(hypotheses, Several{references}), 67.96837459144159, 1e-9);
  EXPECT_NEAR(bleu(hypotheses, Several{references, reversed}).score, 70.41989925621854, 1e-9);
}

TEST(Scores, EffectiveOrderHelpsShortSentences) {
  EXPECT_EQ(one_bleu("a b", "a b c"), 0);
  EXPECT_NEAR(one_bleu("a b", "a b c", true), 60.653065971263366, 1e-9);  // by the transcription
}

TEST(Scores, NeedAReferenceForEveryLine) {
  EXPECT_THROW(bleu(Lines{"a", "b"}, Several{Lines{"a"}}), InputError);
  EXPECT_THROW(bleu(Lines{"a"}, Several{Lines{""}}), InputError);
  EXPECT_THROW(chrf(Lines{"a"}, {}), InputError);
  // One of several may be empty.
  EXPECT_NEAR(bleu(Lines{"a b c d"}, Several{Lines{""}, Lines{"a b c d"}}).score, 100, 1e-9);
}

}  // namespace
}  // namespace evenkeel::translation
