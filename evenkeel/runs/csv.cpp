#include "evenkeel/runs/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/utf8.h"

namespace evenkeel::runs {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = next_row();
      const bool blank = row.cells.size() == 1 && row.cells[0].empty();
      if (!blank) rows.push_back(std::move(row));
    }
    return rows;
  }

  [[noreturn]] void fail(std::int64_t line, const std::string& what) const {
    throw InputError(fmt::format("{}:{}: {}", name_, line, what));
  }

 private:
  bool at_line_end() const {
    return at_ == text_.size() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n";
  }

  CsvRow next_row() {
    CsvRow row;
    row.line = line_;
    for (;;) {
      row.cells.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : bare());
      if (at_line_end()) break;
      ++at_;  // the comma
    }
    if (at_ < text_.size()) at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
    return row;
  }

  std::string bare() {
    const std::size_t begin = at_;
    while (!at_line_end() && text_[at_] != ',') {
      if (text_[at_] == '"')
        fail(line_,
             "a quote inside an unquoted field; put the whole field in quotes and double those inside");
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    const std::int64_t opened = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        if (at_ == text_.size() || text_[at_] != '"') {
          if (!at_line_end() && text_[at_] != ',')
            fail(line_, "text after a closing quote; expected a comma or the end of the line");
          return field;
        }
      }
      line_ += text_[at_] == '\n';
      field += text_[at_];
    }
    fail(opened, "a quote is opened here and never closed");
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

}  // namespace

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string_view::npos ? "" : std::string(text.substr(first, last - first + 1));
}

CsvTable parse_csv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Parser parser(text, name);
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
    parser.fail(line, "not UTF-8; convert the file first, for example with iconv -f latin1 -t utf8");
  }
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    parser.fail(line, "a NUL byte; this is no text file");
  }
  CsvTable table;
  table.whole = text.empty() || text.back() == '\n';
  table.rows = parser.rows();
  if (table.rows.empty()) throw InputError(name + " is empty; expected a header line and at least one row");
  const std::int64_t header_line = table.rows.front().line;
  table.header = std::move(table.rows.front().cells);
  table.rows.erase(table.rows.begin());
  for (std::string& column : table.header) column = trimmed(column);
  for (std::size_t i = 0; i < table.header.size(); ++i) {
    const std::string& column = table.header[i];
    if (column.empty()) parser.fail(header_line, fmt::format("column {} of the header has no name", i + 1));
    if (std::find(table.header.begin(), table.header.begin() + static_cast<std::ptrdiff_t>(i), column) !=
        table.header.begin() + static_cast<std::ptrdiff_t>(i)) {
      parser.fail(header_line, fmt::format("the header names column \"{}\" twice", shortened(column)));
    }
  }
  if (table.rows.empty()) throw InputError(name + " has a header and no rows; expected at least one row");
  for (const CsvRow& row : table.rows) {
    if (row.cells.size() != table.header.size()) {
      parser.fail(row.line,
                  fmt::format("{} fields, but the header has {}", row.cells.size(), table.header.size()));
    }
  }
  return table;
}

}  // namespace evenkeel::runs
