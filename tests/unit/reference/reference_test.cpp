// The pages of docs/reference: complete, free of dead links, and those that are committed.
#include <gtest/gtest.h>

#include <cctype>
#include <initializer_list>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/reference/pages.h"
#include "evenkeel/reference/tables.h"
#include "evenkeel/telemetry/metric_table.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::reference {
namespace {

const fs::path kCommitted = fs::path(EVENKEEL_SOURCE_DIR) / "docs/reference";

constexpr const char* kAnew =
    "run `build/release/evenkeel config reference --out docs/reference` and commit what it writes";

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

std::string text_of(const std::string& file) {
  for (const Page& page : pages())
    if (page.file == file) return page.text;
  ADD_FAILURE() << "no page " << file;
  return "";
}

TEST(ReferencePages, AreThoseThatAreCommitted) {
  std::set<std::string> files;
  for (const Page& page : pages()) {
    files.insert(page.file);
    ASSERT_TRUE(fs::exists(kCommitted / page.file))
        << "docs/reference/" << page.file << " is missing: " << kAnew;
    EXPECT_TRUE(read_file(kCommitted / page.file) == page.text)
        << "docs/reference/" << page.file << " is not what the program says: " << kAnew;
  }
  for (const auto& entry : fs::directory_iterator(kCommitted))
    EXPECT_TRUE(files.contains(entry.path().filename().string()))
        << "docs/reference/" << entry.path().filename() << " is no page that the program makes: remove it";
}

// A field of [interventions] is a treatment, or a setting of one.
TEST(ReferenceTables, EveryInterventionHasARow) {
  for (const FieldDoc& field : all_fields()) {
    if (!field.path.starts_with("interventions.")) continue;
    int rows = 0;
    for (const Treatment& t : treatments()) {
      rows += field.path == t.field;
      for (const std::string& setting : words_of(t.settings))
        rows += field.path == setting || field.path.starts_with(setting + ".");
    }
    EXPECT_EQ(rows, 1) << field.path << " must be the field, or among the settings, of one row of "
                       << "evenkeel/reference/treatments.cpp";
  }
}

TEST(ReferenceTables, EveryOptimiserAndSchemeHasARowInOrder) {
  std::vector<std::string_view> names, rows;
  for (const auto& [kind, name] : EnumNames<OptimiserKind>::names) names.push_back(name);
  for (const Optimiser& o : optimisers()) rows.push_back(enum_name(o.kind));
  EXPECT_EQ(names, rows) << "evenkeel/reference/optimisers.cpp has one row for each, in the same order";
  names.clear();
  rows.clear();
  for (const auto& [scheme, name] : EnumNames<ResidualScheme>::names) names.push_back(name);
  for (const Scheme& s : schemes()) rows.push_back(enum_name(s.scheme));
  EXPECT_EQ(names, rows) << "evenkeel/reference/schemes.cpp has one row for each, in the same order";
}

TEST(ReferenceTables, RowsAreComplete) {
  const auto filled = [](const char* row, std::initializer_list<const char*> texts) {
    for (const char* text : texts) EXPECT_NE(std::string(text == nullptr ? "" : text), "") << row;
  };
  for (const Treatment& t : treatments()) {
    filled(t.field, {t.group, t.title, t.effect, t.metrics, t.cost, t.source, t.header});
    EXPECT_TRUE(fs::exists(fs::path(EVENKEEL_SOURCE_DIR) / t.header)) << t.header;
  }
  for (const Optimiser& o : optimisers()) {
    filled(o.title, {o.title, o.formula, o.state, o.decay, o.settings, o.cost, o.source, o.header});
    EXPECT_TRUE(fs::exists(fs::path(EVENKEEL_SOURCE_DIR) / o.header)) << o.header;
  }
  for (const Scheme& s : schemes()) filled(s.sublayer, {s.sublayer, s.source});
}

// A figure stands in one place, where it is said how it came about.
TEST(ReferenceTables, MeasuredCostsAreThoseOfThePerformancePage) {
  const std::string page = read_file(fs::path(EVENKEEL_SOURCE_DIR) / "docs/design/performance.md");
  for (const Treatment& t : treatments()) {
    const std::string cost = t.cost;
    if (cost.find("measured") == std::string::npos) continue;
    std::smatch figure;
    ASSERT_TRUE(std::regex_search(cost, figure, std::regex(R"(\d\.\d\d)"))) << cost;
    const auto row = page.find(std::string("`--treat ") + t.field + "=");
    ASSERT_NE(row, std::string::npos) << t.field << " is measured nowhere";
    std::smatch medians;
    const std::string line = page.substr(row, page.find('\n', row) - row);
    ASSERT_TRUE(std::regex_search(line, medians, std::regex(R"(\| (\d\.\d+), [\d.]+ \| (\d\.\d+),)")))
        << line;
    for (const int config : {1, 2})
      EXPECT_NEAR(std::stod(medians[config]), std::stod(figure[0]), 0.005) << t.field;
  }
}

TEST(ReferencePages, HaveEveryFieldAndMetric) {
  const std::string fields = text_of("fields.md"), metrics = text_of("metrics.md");
  for (const FieldDoc& field : all_fields())
    EXPECT_NE(fields.find("\n### `" + field.path + "`\n"), std::string::npos) << field.path;
  for (const telemetry::Metric& m : telemetry::metric_table())
    EXPECT_NE(metrics.find("\n### `" + std::string(m.id) + "`\n"), std::string::npos) << m.id;
}

TEST(ReferencePages, LinkToWhatIsThere) {
  std::map<std::string, std::set<std::string>> fragments;  // of the headings of each page
  for (const Page& page : pages()) {
    std::istringstream lines(page.text);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("#")) continue;
      std::string fragment;
      for (const char c : line.substr(line.find(' ') + 1)) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-')
          fragment += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (c == ' ') fragment += '-';
      }
      EXPECT_TRUE(fragments[page.file].insert(fragment).second) << page.file << " has two headings " << line;
    }
  }
  const std::regex link(R"(\]\(([^)#]*)(#([^)]*))?\))");
  for (const Page& page : pages()) {
    for (std::sregex_iterator it(page.text.begin(), page.text.end(), link), end; it != end; ++it) {
      const std::string target = (*it)[1], fragment = (*it)[3];
      if (target.starts_with("https://arxiv.org/abs/")) continue;
      const std::string file = target.empty() ? page.file : target;
      EXPECT_TRUE(fs::exists(kCommitted / file)) << page.file << " links to " << file;
      if (!fragment.empty() && fragments.contains(file)) {
        EXPECT_TRUE(fragments[file].contains(fragment)) << page.file << " links to " << it->str();
      }
    }
  }
}

TEST(ReferencePages, AreReadableInTables) {
  for (const Page& page : pages()) {
    std::istringstream lines(page.text);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("|")) {
        EXPECT_LT(line.size(), 400u) << page.file << ": " << line;
      }
    }
  }
}

TEST(ReferencePages, ReplaceTheirOwnAndNothingElse) {
  const test::TempFolder folder;
  const fs::path out = folder.path() / "pages";
  EXPECT_EQ(write_pages(out).size(), pages().size());
  EXPECT_EQ(write_pages(out).front(), out / "README.md");
  write_file(out / "fields.md", "# My fields\n");
  write_file(out / "metrics.md", "<!-- Made by `evenkeel config reference`. Do not edit: of another version");
  EXPECT_THROW(write_pages(out), InputError);
  EXPECT_EQ(read_file(out / "fields.md"), "# My fields\n");
  fs::remove(out / "fields.md");
  write_pages(out);
  EXPECT_EQ(read_file(out / "metrics.md"), text_of("metrics.md"));
}

}  // namespace
}  // namespace evenkeel::reference
