#include "evenkeel/config/settings.h"

#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/config/duration.h"

namespace evenkeel {
namespace {

TEST(Settings, TomlFlattensWithFileAndLine) {
  const Settings s = settings_from_toml_text(
      "[optim]\n"
      "lr = 0.1\n"
      "warmup = \"40step\"\n"
      "[data]\n"
      "synthetic.seed = 3\n"
      "[sweep]\n"
      "\"optim.lr\" = [0.1, 0.3]\n",
      "s.toml", {"sweep"});
  EXPECT_EQ(s.at("optim.lr").value, 0.1);
  EXPECT_EQ(s.at("optim.lr").origin, "s.toml:2");
  EXPECT_EQ(s.at("optim.warmup").origin, "s.toml:3");
  EXPECT_EQ(s.at("data.synthetic.seed").value, 3);
  EXPECT_EQ(s.at("sweep.optim.lr").value, (Json{0.1, 0.3}));
  EXPECT_EQ(s.at("sweep.optim.lr").origin, "s.toml:7");
  EXPECT_EQ(s.size(), 4u);
}

TEST(Settings, BadTomlNamesFileAndLine) {
  try {
    settings_from_toml_text("[optim]\nlr = = 3\n", "s.toml");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_EQ(std::string(e.what()).rfind("s.toml:2:", 0), 0u) << e.what();
  }
  EXPECT_THROW(settings_from_toml_text("a = 1\na = 2\n", "s.toml"), InputError);
  EXPECT_THROW(settings_from_toml("/nowhere/s.toml"), InputError);
}

TEST(Settings, AssignmentsReadTomlValuesOrWords) {
  EXPECT_EQ(parse_assignment("optim.lr=0.1").second.value, 0.1);
  EXPECT_EQ(parse_assignment("train.steps=300").second.value, 300);
  EXPECT_EQ(parse_assignment("arch.bias=true").second.value, true);
  EXPECT_EQ(parse_assignment("sweep.optim.lr=[0.1, 0.3]").second.value, (Json{0.1, 0.3}));
  EXPECT_EQ(parse_assignment("data.path=../a=b/c.txt").second.value, "../a=b/c.txt");
  EXPECT_EQ(parse_assignment("interventions.qk_norm=\"off\"").second.value, "off");
  EXPECT_EQ(parse_assignment("interventions.qk_norm=off").second.value, "off");
  EXPECT_EQ(parse_assignment("data.path=").second.value, "");
  EXPECT_EQ(parse_assignment("optim.lr=0.1").first, "optim.lr");
  EXPECT_EQ(parse_assignment("optim.lr=0.1").second.origin, "--set");
  // Not a second setting smuggled in through a line end.
  EXPECT_EQ(parse_assignment("a=1\nb = 2").second.value, "1\nb = 2");
  EXPECT_THROW(parse_assignment("optim.lr"), InputError);
  EXPECT_THROW(parse_assignment("=3"), InputError);
}

TEST(Settings, DidYouMeanFindsSlipsOnly) {
  const std::vector<std::string> known{"optim.lr", "optim.warmup", "train.steps", "interventions.qk_norm"};
  EXPECT_EQ(did_you_mean("optim.warmpu", known), "optim.warmup");
  EXPECT_EQ(did_you_mean("train.step", known), "train.steps");
  EXPECT_EQ(did_you_mean("interventions.qknorm", known), "interventions.qk_norm");
  EXPECT_EQ(did_you_mean("model.warmup", known), "optim.warmup");  // right name, wrong section
  EXPECT_EQ(did_you_mean("warmup", known), "optim.warmup");
  EXPECT_EQ(did_you_mean("something.else", known), "");
}

TEST(Duration, UnitsAndRounding) {
  EXPECT_EQ(Duration::parse("40step")->steps(300, 2048), 40);
  EXPECT_EQ(Duration::parse("5%")->steps(300, 2048), 15);
  EXPECT_EQ(Duration::parse("10ktok")->steps(300, 2048), 5);  // 4.88
  EXPECT_EQ(Duration::parse("1Mtok")->steps(300, 2048), 488);
  EXPECT_EQ(Duration::parse("1ktok")->steps(300, 2048), 1);  // never silently off
  EXPECT_EQ(Duration::parse("0step")->steps(300, 2048), 0);
  EXPECT_EQ(Duration::parse("2.5%")->steps(1000, 1), 25);
  for (const char* bad : {"", "step", "40", "40 parsecs", "nanstep", "inf%", "5%x"}) {
    EXPECT_FALSE(Duration::parse(bad)) << bad;
  }
  for (const char* text : {"40step", "5%", "2048tok", "0.5%"}) {
    EXPECT_EQ(Duration::parse(text)->text(), text);
    EXPECT_EQ(Duration::parse(Duration::parse(text)->text()), Duration::parse(text));
  }
}

TEST(Duration, WhatNoRunReachesIsRefusedAndNothingOverflows) {
  for (const char* text : {"1e30step", "1e300%", "1e16tok", "1e10Gtok", "1e308Gtok"})
    EXPECT_FALSE(Duration::parse(text)) << text;
  EXPECT_EQ(Duration::parse("1e15%")->steps(1'000'000'000, 1), 1'000'000'000'000'000'000);
  EXPECT_EQ((Duration{1e300, Duration::Unit::kStep}.steps(10, 1)), 1'000'000'000'000'000'000);
}

TEST(Settings, KeysOfManyPartsAreNotParsed) {
  const auto parts = [](int n) {
    std::string key = "a";
    for (int i = 1; i < n; ++i) key += ".a";
    return key;
  };
  EXPECT_EQ(settings_from_toml_text(parts(16) + " = 1\n", "s.toml").size(), 1u);
  const std::string harmless = "a = [1.5, 2.5]\n# " + parts(40) + "\nb = \"" + parts(40) + "\"\n";
  EXPECT_EQ(settings_from_toml_text(harmless, "s.toml").size(), 2u);
  for (const std::string& text :
       {parts(17) + " = 1\n", "\n[" + parts(17) + "]\n", "b = {" + parts(100000) + " = 1}\n",
        "c = " + std::string(3, '"') + "\n\"\n" + std::string(3, '"') + " # \"\n" + parts(17) + " = 1\n"}) {
    try {
      settings_from_toml_text(text, "s.toml");
      ADD_FAILURE() << text.substr(0, 50);
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("more than 16 parts"), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(parse_assignment("data.path=" + parts(100000)).second.value, parts(100000));
}

// toml++ 3.3 reaches __builtin_unreachable() at some of them.
TEST(Settings, CharactersBeyondAsciiStandInQuotes) {
  EXPECT_EQ(settings_from_toml_text("\xEF\xBB\xBF"
                                    "a = \"\xca\x8c\" # \xca\x8c\n'\xca\x8c' = 1\n",
                                    "s.toml")
                .size(),
            2u);
  for (const char* text : {"\na = 6\xca\x8c\n", "\n\xca\x8c = 1\n", "a = \"\"\"\n\"\"\" \xca\x8c\n"}) {
    try {
      settings_from_toml_text(text, "s.toml");
      ADD_FAILURE() << text;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("s.toml:2"), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(parse_assignment("data.path=6\xca\x8c-i").second.value, "6\xca\x8c-i");
}

TEST(Settings, AssignmentsMustBeUtf8) {
  EXPECT_EQ(parse_assignment("data.path=caf\xc3\xa9.txt").second.value, "caf\xc3\xa9.txt");
  for (const char* text : {"data.path=caf\xe9.txt", "dat\xe9.path=x"}) {
    try {
      parse_assignment(text);
      FAIL() << text;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("UTF-8"), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace evenkeel
